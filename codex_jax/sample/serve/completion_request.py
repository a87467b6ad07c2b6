"""A request's body, checked against the server's limits and the model."""

import dataclasses
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from codex_jax import InputError, ranges
from codex_jax.sample import openai_schema
from codex_jax.sample.engine.requests import Request, check_tokens
from codex_jax.sample.openai_schema import FieldError
from codex_jax.sample.sampling.detokenizer import encode_prompt
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.sample.sampling.token_healing import TokenHealer
from codex_jax.sample.serve.errors import ApiError
from codex_jax.tokenizer import Tokenizer

_MAX_TOKENS = 16  # OpenAI's default
_RANGES = {
    "max_prompt_tokens": ranges.integer(0),
    "max_new_tokens": ranges.integer(1),
    "max_context": ranges.integer(2, is_optional=True),
    "max_prompts": ranges.integer(1),
    "max_samples": ranges.integer(1),
    "max_stops": ranges.integer(0),
    "max_requests": ranges.integer(1),
    "max_body_bytes": ranges.integer(1),
    "max_client_seconds": ranges.real(0, 86_400, excludes_low=True),
}
_SAMPLING_PARAMS = SamplingParams(temperature=1.0, top_p=1.0)  # likewise


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """Limits of a request, and of the requests in progress.

    Args:
      max_prompt_tokens: Most tokens of a prompt; 0 is the model's maximum.
      max_new_tokens: Most new tokens of a sample.
      max_context: Most tokens of both together; the model's maximum if None.
      max_prompts: Most prompts of a request.
      max_samples: Most samples of a prompt (n, best_of).
      max_stops: Most stop strings.
      max_requests: Most requests in progress; more are refused with 429.
      max_body_bytes: Most bytes of a request's body.
      max_client_seconds: Most seconds in which a client sends a body, or takes what a stream sent.
    """

    max_prompt_tokens: int = 0
    max_new_tokens: int = 512
    max_context: int | None = None
    max_prompts: int = 64
    max_samples: int = 128
    max_stops: int = 16
    max_requests: int = 256
    max_body_bytes: int = 4 << 20
    max_client_seconds: float = 30.0

    def __post_init__(self):
        ranges.check("ServerLimits", self, _RANGES)

    def clamped_to(self, max_length: int) -> "ServerLimits":
        """These limits, reduced to a model's maximum length in tokens."""
        context = min(self.max_context or max_length, max_length)
        return dataclasses.replace(
            self,
            max_context=context,
            max_prompt_tokens=min(self.max_prompt_tokens or context - 1, context - 1),
            max_new_tokens=min(self.max_new_tokens, context - 1),
        )


class CompletionRequest(NamedTuple):
    """A valid request."""

    prompts: list[list[int]]
    texts: list[str | None]  # of prompts that are strings
    prompt_characters: list[int]
    begin_tokens: list[int]  # of each prompt, tokens that the request didn't contain
    healed: list[int]  # of each prompt, last tokens to sample anew
    n: int
    best_of: int
    max_tokens: int
    sampling_params: SamplingParams
    stops: tuple[str, ...]
    seed: int
    logprobs: int | None
    echo: bool
    stream: bool
    include_usage: bool  # at a stream's end

    def engine_requests(self, completion_id: str) -> list[Request]:
        """The engine's requests, one a prompt, with ids ID/0, ID/1, ..."""
        return [
            Request(
                f"{completion_id}/{number}",
                tokens,
                range(self.best_of if self.max_tokens else 0),
                self.sampling_params,
                self.seed,
                self.max_tokens or None,
                self.stops,
                want_top_logprobs=bool(self.logprobs),
                echo=self.echo and self.logprobs is not None,
                stream=self.stream,
                healed=self.healed[number] if self.max_tokens else 0,
            )
            for number, tokens in enumerate(self.prompts)
        ]


def parse_request(
    body: Any,
    tokenizer: Tokenizer,
    vocab_size: int,
    limits: ServerLimits,
    *,
    begin_ids: Sequence[int],
    healer: TokenHealer | None = None,
) -> CompletionRequest:
    """Parses and checks a body.

    Args:
      body: Parsed JSON.
      tokenizer: Encodes prompts that are strings.
      vocab_size: The model's.
      limits: The server's.
      begin_ids: Tokens in front of prompts that are strings.
      healer: Heals prompts that are strings, unless they have a suffix; None heals none.

    Raises:
      ApiError: 400, naming the field.
    """
    try:
        fields = openai_schema.parse_body(body)
        if fields["model"] is None:
            raise FieldError("you must provide a model parameter", "model")
        prompts = _tokenize(fields, tokenizer, begin_ids)
        max_tokens = _MAX_TOKENS if fields["max_tokens"] is None else fields["max_tokens"]
        _check_counts(fields, limits)
        _check_prompts(prompts, max_tokens, vocab_size, limits)
        _check_known(fields["logit_bias"] or (), vocab_size, "logit_bias")
    except FieldError as error:
        raise ApiError(400, str(error), param=error.param) from None
    n = fields["n"] or 1
    return CompletionRequest(
        prompts=prompts,
        texts=[p if isinstance(p, str) else None for p in _prompt_list(fields)],
        begin_tokens=[_count_begin_tokens(p, begin_ids) for p in _prompt_list(fields)],
        healed=_count_healed(fields, prompts, healer),
        prompt_characters=[_count_characters(p, tokenizer) for p in _prompt_list(fields)],
        n=n,
        best_of=fields["best_of"] or n,
        max_tokens=max_tokens,
        sampling_params=openai_schema.sampling_params(fields, _SAMPLING_PARAMS),
        stops=fields["stop"] or (),
        seed=secrets.randbits(32) if fields["seed"] is None else fields["seed"],
        logprobs=fields["logprobs"],
        echo=bool(fields["echo"]),
        stream=bool(fields["stream"]),
        include_usage=(fields["stream_options"] or {}).get("include_usage", False),
    )


def _tokenize(
    fields: openai_schema.Fields, tokenizer: Tokenizer, begin_ids: Sequence[int]
) -> list[list[int]]:
    """Prompts as tokens."""
    prompts, suffix = _prompt_list(fields), fields["suffix"]
    if isinstance(prompts[0], list):
        return prompts
    try:
        return [encode_prompt(tokenizer, prompt, suffix, begin_ids=begin_ids) for prompt in prompts]
    except InputError as error:
        raise FieldError(f"suffix: this model can't infill: {error}", "suffix") from None


def _prompt_list(fields: openai_schema.Fields) -> list:
    """Prompts in a list, also if there is only one."""
    prompt = fields["prompt"] or ""
    return prompt if isinstance(prompt, list) and not isinstance(prompt[0], int) else [prompt]


def _count_begin_tokens(prompt: str | list[int], begin_ids: Sequence[int]) -> int:
    """The tokens that `encode_prompt` puts in front of a prompt."""
    if not isinstance(prompt, str):
        return 0
    return len(begin_ids) or int(not prompt)


def _count_healed(
    fields: openai_schema.Fields, prompts: list[list[int]], healer: TokenHealer | None
) -> list[int]:
    """The last tokens of each prompt that are sampled anew."""
    texts = _prompt_list(fields)
    if healer is None or fields["suffix"] is not None or isinstance(texts[0], list):
        return [0] * len(prompts)
    return [healer.count(text, tokens) for text, tokens in zip(texts, prompts, strict=True)]


def _count_characters(prompt: str | list[int], tokenizer: Tokenizer) -> int:
    if isinstance(prompt, str):
        return len(prompt)
    return len(b"".join(map(tokenizer.token_bytes, prompt)).decode(errors="replace"))


def _check_counts(fields: openai_schema.Fields, limits: ServerLimits) -> None:
    samples, stops = fields["best_of"] or fields["n"] or 1, fields["stop"] or ()
    if samples > limits.max_samples:
        raise FieldError(
            f"{samples} samples a prompt; this server allows {limits.max_samples}", "n"
        )
    if len(stops) > limits.max_stops:
        raise FieldError(
            f"{len(stops)} stop strings; this server allows {limits.max_stops}", "stop"
        )


def _check_prompts(
    prompts: Sequence[Sequence[int]], max_tokens: int, vocab_size: int, limits: ServerLimits
) -> None:
    if len(prompts) > limits.max_prompts:
        raise FieldError(
            f"prompt: {len(prompts)} prompts; this server allows {limits.max_prompts}", "prompt"
        )
    for tokens in prompts:
        _check_known(tokens, vocab_size, "prompt")
        _check_length(len(tokens), max_tokens, limits)


def _check_known(tokens: Iterable[int], vocab_size: int, param: str) -> None:
    try:
        check_tokens(tokens, vocab_size, where=param)
    except InputError as error:
        raise FieldError(str(error), param) from None


def _check_length(prompt_tokens: int, max_tokens: int, limits: ServerLimits) -> None:
    context = limits.max_context or limits.max_prompt_tokens + limits.max_new_tokens
    longest = min(context - max_tokens, limits.max_prompt_tokens)
    if prompt_tokens > longest or max_tokens > limits.max_new_tokens:
        raise ApiError(
            400,
            f"This model's maximum context length is {context} tokens, of which a prompt may take "
            f"{limits.max_prompt_tokens} and a completion {limits.max_new_tokens}; you requested "
            f"{prompt_tokens} in your prompt and {max_tokens} in the completion",
            param="max_tokens" if max_tokens > limits.max_new_tokens else "prompt",
            code="context_length_exceeded",
        )
