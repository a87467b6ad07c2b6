"""Checks the body of an OpenAI completions request, for the server and for batch files.

An unknown field is refused, never ignored. These checks need neither a model nor a server.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from codex_jax import InputError
from codex_jax.sample.sampling.params import MAX_BIASED_TOKENS, SamplingParams

Fields = dict[str, Any]  # every field's value by its name; None if it is absent


class FieldError(InputError):
    """An invalid body; `param` is the name of the invalid field, if it is a single one."""

    def __init__(self, message: str, param: str | None = None):
        super().__init__(message)
        self.param = param


def parse_body(body: Any, supported: Collection[str] | None = None) -> Fields:
    """The body's fields, of the right types and within their ranges; null is an absent field.

    Args:
      body: Parsed JSON.
      supported: Names of the fields that are accepted; None accepts all of `FIELDS`.

    Raises:
      FieldError: an unknown or invalid field, which it names.
    """
    fields = check_fields(body, FIELDS, supported)
    _check_combinations(fields)
    return fields


def check_fields(
    body: Any,
    checks: Mapping[str, Callable[[str, Any], Any]],
    supported: Collection[str] | None = None,
) -> Fields:
    """Each field of a body by its check; see `parse_body`."""
    if not isinstance(body, dict):
        raise FieldError(f"expected a JSON object, found {json_type(body)}")
    supported = checks.keys() if supported is None else supported
    for name in sorted(body):
        if name not in (checks if body[name] is None else supported):
            raise FieldError(f"Unrecognized request argument supplied: {name}", name)
    fields = {}
    for name, check in checks.items():
        value = body.get(name)
        fields[name] = None if value is None else check(name, value)
    return fields


def sampling_params(fields: Fields, default: SamplingParams) -> SamplingParams:
    """Sampling parameters of a body; absent fields are taken from `default`."""
    names = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias")
    values = {name: fields[name] for name in names if fields[name] is not None}
    if not values:
        return default
    if 0 in (values.get("temperature"), values.get("top_p")):
        values |= {"temperature": 0.0, "top_p": values.get("top_p") or 1.0}
    defaults = {name: getattr(default, name) for name in SamplingParams.__dataclass_fields__}
    return SamplingParams(**defaults | values)


def json_type(value: Any) -> str:
    """The name of a value's JSON type, with its article."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "null" if value is None else "a number")


def check_encodable(name: str, value: str) -> str:
    """The value, unless it contains half a surrogate pair, which JSON allows and UTF-8 doesn't."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FieldError(f"{name}: a lone surrogate can't be encoded", name) from None
    return value


def _error(name: str, expected: str, value: Any) -> FieldError:
    text = f"{value!r:.40}" if isinstance(value, int | float | str) else json_type(value)
    return FieldError(f"{name}: expected {expected}, found {text}", name)


def _integer(low: int, high: int) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _error(name, f"an integer from {low} to {high}", value)
        return value

    return check


def _number(low: int, high: int) -> Callable[[str, Any], float]:
    def check(name: str, value: Any) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:  # NaN is in no range
            raise _error(name, f"a number from {low} to {high}", value)
        return float(value)

    return check


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _error(name, "true or false", value)
    return value


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _error(name, "a string", value)
    return value


def _text(name: str, value: Any) -> str:
    return check_encodable(name, _string(name, value))


def _stops(name: str, value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise _error(name, "a string or a list of strings, none of them empty", value)
    return tuple(check_encodable(name, stop) for stop in stops)


def _stream_options(name: str, value: Any) -> Mapping[str, bool]:
    options = {"include_usage", "include_obfuscation"}
    if not isinstance(value, dict) or not all(isinstance(v, bool) for v in value.values()):
        raise _error(name, f"an object of {' and '.join(sorted(options))}", value)
    if value.keys() - options or value.get("include_obfuscation"):
        raise FieldError(f"{name}: only include_usage is supported", name)
    return value


def _logit_bias(name: str, value: Any) -> Mapping[int, float]:
    if not isinstance(value, dict):
        raise _error(name, "an object of token ids and numbers", value)
    if len(value) > MAX_BIASED_TOKENS:
        raise FieldError(f"{name}: {len(value)} tokens; expected at most {MAX_BIASED_TOKENS}", name)
    to_number, biases = _number(-100, 100), {}
    for token, bias in value.items():
        if not re.fullmatch("0|[1-9][0-9]{0,11}", token):  # "05" would be another 5
            raise _error(name, "token ids as keys", token)
        biases[int(token)] = to_number(name, bias)
    return biases


def _prompt(name: str, value: Any) -> str | list:
    """A string, or a list that is not empty of strings, of tokens, or of lists of tokens."""
    if isinstance(value, str):
        return check_encodable(name, value)
    if not isinstance(value, list):
        raise _error(name, "a string or a list", value)
    if not value:
        raise FieldError(f"{name}: an empty list has no prompt", name)
    if all(isinstance(item, str) for item in value):
        return [check_encodable(name, item) for item in value]
    lists = value if isinstance(value[0], list) else [value]
    if not all(isinstance(item, list) and item and all(map(_is_token, item)) for item in lists):
        expected = "a string, a list of strings, a list of tokens or a list of such lists"
        raise FieldError(f"{name}: expected {expected}, none of them empty", name)
    return value


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


FIELDS: dict[str, Callable[[str, Any], Any]] = {
    "model": _string,
    "prompt": _prompt,
    "suffix": _text,
    "max_tokens": _integer(0, 1 << 20),
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "n": _integer(1, 1 << 20),
    "best_of": _integer(1, 1 << 20),
    "stream": _boolean,
    "stream_options": _stream_options,
    "logprobs": _integer(0, 5),
    "echo": _boolean,
    "stop": _stops,
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "logit_bias": _logit_bias,
    "seed": _integer(-(1 << 63), (1 << 64) - 1),
    "user": _string,
}


def _check_combinations(fields: Fields) -> None:
    n = fields["n"] or 1
    best_of = fields["best_of"] or n
    rules = (
        ("best_of", best_of < n, "best_of must be at least n"),
        (
            "stream",
            fields["stream"] and best_of > n,
            "best_of can't be streamed: the best sample is known only at the end",
        ),
        (
            "stream_options",
            fields["stream_options"] and not fields["stream"],
            "stream_options is only allowed when stream is set",
        ),
        (
            "suffix",
            fields["suffix"] is not None and not _is_text(fields["prompt"]),
            "suffix: expected prompts as strings, not as tokens",
        ),
        (
            "echo",
            fields["echo"] and fields["suffix"] is not None,
            "echo can't be combined with suffix",
        ),
    )
    for name, is_wrong, message in rules:
        if is_wrong:
            raise FieldError(message, name)


def _is_text(prompt: str | list | None) -> bool:
    return not isinstance(prompt, list) or isinstance(prompt[0], str)
