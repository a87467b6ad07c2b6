"""A body of OpenAI's completions API, checked field by field: the server's and a batch file's.

What isn't understood is refused, never left out. What is checked here needs no model and no server.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from codex_jax import InputError
from codex_jax.sample.sampling.params import MOST_BIASED, Policy

Fields = dict[str, Any]  # every field's value by its name; None where it isn't given


class FieldError(InputError):
    """A body that is refused; `param` is the field that is wrong, if it is one's fault."""

    def __init__(self, message: str, param: str | None = None):
        super().__init__(message)
        self.param = param


def read(body: Any, supported: Collection[str] | None = None) -> Fields:
    """The body's fields, each of its kind and within its range; null is as if not given.

    Args:
      supported: the fields that may be given; all, unless told.

    Raises:
      FieldError: naming the field.
    """
    if not isinstance(body, dict):
        raise FieldError(f"expected a JSON object, found {kind(body)}")
    supported = FIELDS.keys() if supported is None else supported
    for name in sorted(body):
        if name not in (FIELDS if body[name] is None else supported):
            raise FieldError(f"Unrecognized request argument supplied: {name}", name)
    found = {}
    for name, check in FIELDS.items():
        value = body.get(name)
        found[name] = None if value is None else check(name, value)
    _check_together(found)
    return found


def policy(found: Fields, default: Policy) -> Policy:
    """How tokens are drawn; what the body doesn't say is as in `default`."""
    names = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias")
    given = {name: found[name] for name in names if found[name] is not None}
    if not given:
        return default
    if 0 in (given.get("temperature"), given.get("top_p")):
        given |= {"temperature": 0.0, "top_p": given.get("top_p") or 1.0}
    known = {name: getattr(default, name) for name in Policy.__dataclass_fields__}
    return Policy(**known | given)


def kind(value: Any) -> str:
    """What JSON calls it, with its article."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "null" if value is None else "a number")


def sound(name: str, value: str) -> str:
    """JSON may carry half a surrogate pair, which is no text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FieldError(f"{name}: a lone surrogate is no text", name) from None
    return value


def _refuse(name: str, wanted: str, value: Any) -> FieldError:
    shown = f"{value!r:.40}" if isinstance(value, int | float | str) else kind(value)
    return FieldError(f"{name}: expected {wanted}, found {shown}", name)


def _integer(low: int, high: int) -> Callable[[str, Any], int]:
    def check(name, value):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _refuse(name, f"an integer from {low} to {high}", value)
        return value

    return check


def _number(low: float, high: float) -> Callable[[str, Any], float]:
    def check(name, value):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= high:  # NaN is in no range
            raise _refuse(name, f"a number from {low} to {high}", value)
        return float(value)

    return check


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse(name, "true or false", value)
    return value


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refuse(name, "a string", value)
    return value


def _text(name: str, value: Any) -> str:
    return sound(name, _string(name, value))


def _stops(name: str, value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise _refuse(name, "a string or a list of strings, none of them empty", value)
    return tuple(sound(name, stop) for stop in stops)


def _options(name: str, value: Any) -> Mapping[str, bool]:
    known = {"include_usage", "include_obfuscation"}
    if not isinstance(value, dict) or not all(isinstance(v, bool) for v in value.values()):
        raise _refuse(name, f"an object of {' and '.join(sorted(known))}", value)
    if value.keys() - known or value.get("include_obfuscation"):
        raise FieldError(f"{name}: only include_usage is supported", name)
    return value


def _bias(name: str, value: Any) -> Mapping[int, float]:
    if not isinstance(value, dict):
        raise _refuse(name, "an object of token ids and numbers", value)
    if len(value) > MOST_BIASED:
        raise FieldError(f"{name}: {len(value)} tokens; expected at most {MOST_BIASED}", name)
    number, found = _number(-100, 100), {}
    for token, bias in value.items():
        if not (token.isascii() and token.isdigit() and len(token) <= 12):
            raise _refuse(name, "token ids as keys", token)
        found[int(token)] = number(name, bias)
    return found


def _prompt(name: str, value: Any) -> str | list:
    """A string, or a list that is not empty of strings, of tokens, or of lists of tokens."""
    if isinstance(value, str):
        return sound(name, value)
    if not isinstance(value, list):
        raise _refuse(name, "a string or a list", value)
    if not value:
        raise FieldError(f"{name}: an empty list holds no prompt", name)
    if all(isinstance(item, str) for item in value):
        return [sound(name, item) for item in value]
    lists = value if isinstance(value[0], list) else [value]
    if not all(isinstance(item, list) and item and all(map(_is_token, item)) for item in lists):
        wanted = "a string, a list of strings, a list of tokens or a list of such lists"
        raise FieldError(f"{name}: expected {wanted}, none of them empty", name)
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
    "stream": _flag,
    "stream_options": _options,
    "logprobs": _integer(0, 5),
    "echo": _flag,
    "stop": _stops,
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "logit_bias": _bias,
    "seed": _integer(-(1 << 63), (1 << 63) - 1),
    "user": _string,
}


def _check_together(found: Fields) -> None:
    n = found["n"] or 1
    best_of = found["best_of"] or n
    wrong = {
        "best_of": best_of < n and "best_of must be at least n",
        "stream": found["stream"]
        and best_of > n
        and "best_of can't be streamed: nobody knows the best before the end",
        "stream_options": found["stream_options"]
        and not found["stream"]
        and "stream_options is only allowed when stream is set",
        "suffix": found["suffix"] is not None
        and not _is_text(found["prompt"])
        and "suffix: wants prompts as strings, not as tokens",
        "echo": found["echo"]
        and found["suffix"] is not None
        and "echo can't be combined with suffix",
    }
    for name, message in wrong.items():
        if message:
            raise FieldError(message, name)


def _is_text(prompt: str | list | None) -> bool:
    return not isinstance(prompt, list) or isinstance(prompt[0], str)
