"""A request's body, within what the server grants and the model knows."""

import dataclasses
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from codex_jax import InputError
from codex_jax.sample import openai_schema
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.detokenizer import prompt_tokens
from codex_jax.sample.sampling.params import Policy
from codex_jax.sample.serve.errors import ApiError
from codex_jax.tokenizer import Tokenizer

_NEW = 16  # tokens, unless told
_POLICY = Policy(temperature=1.0, top_p=1.0)  # likewise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server grants.

    Args:
      prompt: Most tokens of a prompt.
      new: Most new tokens of a sample.
      length: Most tokens of both together; as many as the model has room for, unless given.
      prompts: Most prompts of a request.
      samples: Most samples of a prompt (n, best_of).
      stops: Most stop strings.
      requests: Most requests under way at a time; more are refused with 429.
      body: Most bytes of a request's body.
    """

    prompt: int = 1024
    new: int = 512
    length: int | None = None
    prompts: int = 64
    samples: int = 128
    stops: int = 16
    requests: int = 256
    body: int = 4 << 20

    def within(self, length: int) -> "Limits":
        """These, and no more than a model of this length can do."""
        most = min(self.length or length, length)
        return dataclasses.replace(
            self, length=most, prompt=min(self.prompt, most - 1), new=min(self.new, most - 1)
        )


class Asked(NamedTuple):
    """A request that is understood."""

    prompts: list[list[int]]
    sizes: list[int]  # of prompts, in characters
    n: int
    best_of: int
    new: int
    policy: Policy
    stops: tuple[str, ...]
    seed: int
    logprobs: int | None
    echo: bool
    stream: bool
    usage: bool  # at a stream's end

    def requests(self, name: str) -> list[Request]:
        """What the engine is asked: a request a prompt, named `name`/number."""
        return [
            Request(
                f"{name}/{number}",
                tokens,
                range(self.best_of if self.new else 0),
                self.policy,
                self.seed,
                self.new or None,
                self.stops,
                top=bool(self.logprobs),
                echo=self.echo and self.logprobs is not None,
                stream=self.stream,
            )
            for number, tokens in enumerate(self.prompts)
        ]


def read(body: Any, text: Tokenizer, vocabulary: int, limits: Limits, *, begin: bool) -> Asked:
    """The body as a request.

    Args:
      vocabulary: how many tokens the model knows.
      begin: whether a prompt given as a string begins with end of text, as documents do.

    Raises:
      ApiError: 400, naming the field.
    """
    try:
        found = openai_schema.read(body)
        if found["model"] is None:
            raise openai_schema.FieldError("you must provide a model parameter", "model")
        prompts = _prompts(found, text, begin)
        new = _NEW if found["max_tokens"] is None else found["max_tokens"]
        _check_granted(found, limits)
        _check_prompts(prompts, new, vocabulary, limits)
        _check_bias(found["logit_bias"] or (), vocabulary)
    except openai_schema.FieldError as error:
        raise ApiError(400, str(error), param=error.param) from None
    n = found["n"] or 1
    return Asked(
        prompts,
        [_characters(prompt, text) for prompt in _several(found)],
        n,
        found["best_of"] or n,
        new,
        openai_schema.policy(found, _POLICY),
        found["stop"] or (),
        secrets.randbits(32) if found["seed"] is None else found["seed"],
        found["logprobs"],
        bool(found["echo"]),
        bool(found["stream"]),
        (found["stream_options"] or {}).get("include_usage", False),
    )


def _prompts(found: openai_schema.Fields, text: Tokenizer, begin: bool) -> list[list[int]]:
    """Prompts as tokens."""
    some = _several(found)
    if isinstance(some[0], list):
        return some
    try:
        return [prompt_tokens(text, one, found["suffix"], begin=begin) for one in some]
    except InputError as error:
        raise openai_schema.FieldError(
            f"suffix: this model can't infill: {error}", "suffix"
        ) from None


def _several(found: openai_schema.Fields) -> list[str] | list[list[int]]:
    """Prompts in a list, also where there is one."""
    prompt = found["prompt"] or ""
    return prompt if isinstance(prompt, list) and not isinstance(prompt[0], int) else [prompt]


def _characters(prompt: str | list[int], text: Tokenizer) -> int:
    if isinstance(prompt, str):
        return len(prompt)
    return len(b"".join(map(text.token_bytes, prompt)).decode(errors="replace"))


def _check_granted(found: openai_schema.Fields, limits: Limits) -> None:
    samples, stops = found["best_of"] or found["n"] or 1, found["stop"] or ()
    if samples > limits.samples:
        raise openai_schema.FieldError(
            f"{samples} samples a prompt; this server grants {limits.samples}", "n"
        )
    if len(stops) > limits.stops:
        raise openai_schema.FieldError(
            f"{len(stops)} stop strings; this server grants {limits.stops}", "stop"
        )


def _check_prompts(
    prompts: Sequence[Sequence[int]], new: int, vocabulary: int, limits: Limits
) -> None:
    if len(prompts) > limits.prompts:
        raise ApiError(
            400,
            f"prompt: {len(prompts)} prompts; this server grants {limits.prompts}",
            param="prompt",
        )
    for tokens in prompts:
        if not 0 <= min(tokens) <= max(tokens) < vocabulary:
            wrong = min(tokens) if min(tokens) < 0 else max(tokens)
            raise ApiError(
                400, f"prompt: token {wrong} is none of the {vocabulary}", param="prompt"
            )
        most = min(limits.length - new, limits.prompt)
        if len(tokens) > most or new > limits.new:
            raise ApiError(
                400,
                f"This model's maximum context length is {limits.length} tokens, of which a "
                f"prompt may take {limits.prompt} and a completion {limits.new}; you asked for "
                f"{len(tokens)} in your prompt and {new} in the completion",
                param="max_tokens" if new > limits.new else "prompt",
                code="context_length_exceeded",
            )


def _check_bias(bias: Iterable[int], vocabulary: int) -> None:
    for token in bias:
        if token >= vocabulary:
            raise openai_schema.FieldError(
                f"logit_bias: token {token} is none of the {vocabulary}", "logit_bias"
            )
