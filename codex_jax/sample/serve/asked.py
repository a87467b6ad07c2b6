"""A request's body, checked field by field. What isn't understood is refused, never left out."""

import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from codex_jax import InputError
from codex_jax.sample.policy import MOST_BIASED, Policy
from codex_jax.sample.requests import Request
from codex_jax.sample.serve.errors import ApiError
from codex_jax.tokenizer import SPECIALS, Tokenizer

_, _PREFIX, _MIDDLE, _SUFFIX = SPECIALS


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
    if not isinstance(body, dict):
        raise ApiError(400, f"expected a JSON object, found {_kind(body)}")
    if unknown := sorted(body.keys() - _FIELDS.keys()):
        raise ApiError(
            400, f"Unrecognized request argument supplied: {unknown[0]}", param=unknown[0]
        )
    if not isinstance(body.get("model"), str):
        raise ApiError(400, "you must provide a model parameter", param="model")
    given = {name: value for name, value in body.items() if value is not None}
    field = {name: check(name, given.get(name)) for name, check in _FIELDS.items()}
    _check_together(field, limits)
    prompts = _prompts(body, text, begin)
    _check_prompts(prompts, field["max_tokens"], vocabulary, limits)
    _check_bias(field["logit_bias"], vocabulary)
    return Asked(
        prompts,
        field["n"],
        field["best_of"] or field["n"],
        field["max_tokens"],
        _policy(field),
        field["stop"],
        secrets.randbits(32) if field["seed"] is None else field["seed"],
        field["logprobs"],
        field["echo"],
        field["stream"],
        field["stream_options"].get("include_usage", False),
    )


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "null" if value is None else "a number")


def _refuse(name: str, wanted: str, value: Any) -> ApiError:
    shown = f"{value!r:.40}" if isinstance(value, int | float | str) else _kind(value)
    return ApiError(400, f"{name}: expected {wanted}, found {shown}", param=name)


def _integer(low: int, high: int, default: int | None) -> Callable:
    def check(name: str, value: Any) -> int | None:
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _refuse(name, f"an integer from {low} to {high}", value)
        return value

    return check


def _number(low: float, high: float, default: float) -> Callable:
    def check(name: str, value: Any) -> float:
        if value is None:
            return default
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= high:  # NaN is in no range
            raise _refuse(name, f"a number from {low} to {high}", value)
        return float(value)

    return check


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | None):
        raise _refuse(name, "true or false", value)
    return bool(value)


def _string(name: str, value: Any) -> str | None:
    if not isinstance(value, str | None):
        raise _refuse(name, "a string", value)
    return value


def _stops(name: str, value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else [] if value is None else value
    good = isinstance(stops, list) and all(isinstance(stop, str) and stop for stop in stops)
    if not good:
        raise _refuse(name, "a string or a list of strings, none of them empty", value)
    return tuple(map(_sound, [name] * len(stops), stops))


def _sound(name: str, value: str) -> str:
    """JSON may carry half a surrogate pair, which is no text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ApiError(400, f"{name}: a lone surrogate is no text", param=name) from None
    return value


def _options(name: str, value: Any) -> Mapping[str, bool]:
    if value is None:
        return {}
    known = {"include_usage", "include_obfuscation"}
    if not isinstance(value, dict) or not all(isinstance(v, bool) for v in value.values()):
        raise _refuse(name, f"an object of {' and '.join(sorted(known))}", value)
    if value.keys() - known or value.get("include_obfuscation"):
        raise ApiError(400, f"{name}: only include_usage is supported", param=name)
    return value


def _bias(name: str, value: Any) -> Mapping[int, float]:
    if not isinstance(value, dict | None):
        raise _refuse(name, "an object of token ids and numbers", value)
    number, found = _number(-100, 100, 0), {}
    for token, bias in (value or {}).items():
        if not (token.isascii() and token.isdigit() and len(token) <= 12):
            raise _refuse(name, "token ids as keys", token)
        if bias is None:
            raise _refuse(name, "a number from -100 to 100", bias)
        found[int(token)] = number(name, bias)
    return found


_FIELDS: dict[str, Callable[[str, Any], Any]] = {
    "model": _string,
    "prompt": lambda name, value: value,
    "suffix": _string,
    "max_tokens": _integer(0, 1 << 20, 16),
    "temperature": _number(0, 2, 1.0),
    "top_p": _number(0, 1, 1.0),
    "n": _integer(1, 1 << 20, 1),
    "best_of": _integer(1, 1 << 20, None),
    "stream": _flag,
    "stream_options": _options,
    "logprobs": _integer(0, 5, None),
    "echo": _flag,
    "stop": _stops,
    "presence_penalty": _number(-2, 2, 0.0),
    "frequency_penalty": _number(-2, 2, 0.0),
    "logit_bias": _bias,
    "seed": _integer(-(1 << 63), (1 << 63) - 1, None),
    "user": _string,
}


def _check_together(field: dict[str, Any], limits: Limits) -> None:
    best_of = field["best_of"] or field["n"]
    wrong = {
        "best_of": best_of < field["n"] and "best_of must be at least n",
        "n": best_of > limits.samples
        and f"{best_of} samples a prompt; this server grants {limits.samples}",
        "stop": len(field["stop"]) > limits.stops
        and f"{len(field['stop'])} stop strings; this server grants {limits.stops}",
        "stream": field["stream"]
        and best_of > field["n"]
        and "best_of can't be streamed: nobody knows the best before the end",
        "stream_options": field["stream_options"]
        and not field["stream"]
        and "stream_options is only allowed when stream is set",
        "echo": field["echo"]
        and field["suffix"] is not None
        and "echo can't be combined with suffix",
    }
    for name, message in wrong.items():
        if message:
            raise ApiError(400, message, param=name)


def _prompts(body: dict[str, Any], text: Tokenizer, begin: bool) -> list[list[int]]:
    """Prompts as tokens; with a suffix, as those that ask for what stands between (PSM)."""
    prompt, suffix = body.get("prompt"), body.get("suffix")
    found = [""] if prompt is None else prompt if isinstance(prompt, list) else [prompt]
    if not found:
        raise ApiError(400, "prompt: an empty list holds no prompt", param="prompt")
    if all(isinstance(item, str) for item in found):
        return [_encoded(item, suffix, text, begin) for item in found]
    if suffix is not None:
        raise ApiError(400, "suffix: wants prompts as strings, not as tokens", param="suffix")
    if all(_is_token(item) for item in found):
        return [found]
    if all(isinstance(item, list) and item and all(map(_is_token, item)) for item in found):
        return found
    wanted = "a string, a list of strings, a list of tokens or a list of such lists"
    raise ApiError(400, f"prompt: expected {wanted}, none of them empty", param="prompt")


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def _encoded(prompt: str, suffix: str | None, text: Tokenizer, begin: bool) -> list[int]:
    ids = text.encode(_sound("prompt", prompt))
    if suffix is not None:
        try:
            before, between, after = map(text.special_id, (_PREFIX, _MIDDLE, _SUFFIX))
        except InputError as error:
            raise ApiError(
                400, f"suffix: this model can't infill: {error}", param="suffix"
            ) from None
        ids = [before, *ids, after, *text.encode(_sound("suffix", suffix)), between]
    return [text.eos_id, *ids] if begin or not ids else ids


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


def _check_bias(bias: Mapping[int, float], vocabulary: int) -> None:
    if len(bias) > MOST_BIASED:
        raise ApiError(
            400,
            f"logit_bias: {len(bias)} tokens; expected at most {MOST_BIASED}",
            param="logit_bias",
        )
    for token in bias:
        if token >= vocabulary:
            raise ApiError(
                400, f"logit_bias: token {token} is none of the {vocabulary}", param="logit_bias"
            )


def _policy(field: dict[str, Any]) -> Policy:
    greedy = field["temperature"] == 0 or field["top_p"] == 0
    return Policy(
        temperature=0.0 if greedy else field["temperature"],
        top_p=field["top_p"] or 1.0,
        presence_penalty=field["presence_penalty"],
        frequency_penalty=field["frequency_penalty"],
        logit_bias=field["logit_bias"] or None,
    )
