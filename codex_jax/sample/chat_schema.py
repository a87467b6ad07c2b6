"""Checks the body of an OpenAI chat request, and makes a completions request of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codex_jax.sample import openai_schema
from codex_jax.sample.openai_schema import FIELDS, FieldError, Fields, check_encodable, json_type

_ROLES = ("system", "developer", "user", "assistant")
_SHARED = ["model", "temperature", "top_p", "n", "stream", "stream_options", "stop"]
_SHARED += ["presence_penalty", "frequency_penalty", "logit_bias", "seed", "user"]

Message = dict[str, str]


def parse_chat(body: Any) -> Fields:
    """The body's fields, of the right types and within their ranges; null is an absent field.

    Raises:
      FieldError: an unknown or invalid field, which it names.
    """
    fields = openai_schema.check_fields(body, _FIELDS)
    if fields["model"] is None:
        raise FieldError("you must provide a model parameter", "model")
    if fields["messages"] is None:
        raise FieldError("messages: expected a list of messages", "messages")
    if fields["top_logprobs"] is not None and not fields["logprobs"]:
        raise FieldError("top_logprobs is only allowed when logprobs is true", "top_logprobs")
    for name in ("max_tokens", "max_completion_tokens"):
        if fields[name] == 0:
            raise FieldError(f"{name}: expected 1 or more, found 0", name)
    if None not in (fields["max_tokens"], fields["max_completion_tokens"]):
        raise FieldError("max_tokens and max_completion_tokens are the same; set one", "max_tokens")
    return fields


def to_completion_body(fields: Fields, prompt: list[int], longest: int) -> dict[str, Any]:
    """The body of a completions request with the same samples.

    Args:
      fields: Of `parse_chat`.
      prompt: The messages' tokens.
      longest: Most new tokens, where the request sets none.
    """
    body = {name: fields[name] for name in _SHARED if fields[name] is not None}
    body |= {"stop": list(fields["stop"])} if fields["stop"] else {}
    body |= {"logit_bias": {str(n): x for n, x in (fields["logit_bias"] or {}).items()}}
    new = fields["max_completion_tokens"] or fields["max_tokens"] or max(1, longest)
    logprobs = (fields["top_logprobs"] or 0) if fields["logprobs"] else None
    return body | {"prompt": prompt, "max_tokens": new, "logprobs": logprobs}


def _messages(name: str, value: Any) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise FieldError(f"{name}: expected a list of messages, not empty", name)
    return [_message(f"{name}[{n}]", message) for n, message in enumerate(value)]


def _message(where: str, value: Any) -> Message:
    if not isinstance(value, dict):
        raise FieldError(f"{where}: expected an object, found {json_type(value)}", "messages")
    present = {name: item for name, item in value.items() if item is not None}
    if unknown := present.keys() - {"role", "content", "name"}:
        raise FieldError(f"{where}: {min(unknown)} isn't supported", "messages")
    if not isinstance(present.get("name", ""), str):
        raise FieldError(f"{where}.name: expected a string", "messages")
    if present.get("role") not in _ROLES:
        raise FieldError(f"{where}.role: expected one of {', '.join(_ROLES)}", "messages")
    content = _text_of(f"{where}.content", present.get("content"))
    return {**present, "content": content}


def _text_of(where: str, content: Any) -> str:
    """The text of a message, which may come in parts."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list):
        raise FieldError(f"{where}: expected a string or a list of texts", "messages")
    for part in parts:
        is_text = isinstance(part, dict) and part.get("type") == "text"
        if not is_text or not isinstance(part.get("text"), str):
            raise FieldError(f"{where}: only parts of type text are supported", "messages")
    return check_encodable("messages", "".join(part["text"] for part in parts))


def _only(*allowed: Any) -> Callable[[str, Any], Any]:
    """A check of fields that change nothing here, at these values."""

    def check(name: str, value: Any) -> Any:
        if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
            raise FieldError(f"{name}: only {allowed[0]!r} is supported", name)
        return value

    return check


def _top_logprobs(name: str, value: Any) -> int:
    return FIELDS["logprobs"](name, value)


_FIELDS: Mapping[str, Callable[[str, Any], Any]] = {
    **{name: FIELDS[name] for name in _SHARED},
    "messages": _messages,
    "max_tokens": FIELDS["max_tokens"],
    "max_completion_tokens": FIELDS["max_tokens"],
    "logprobs": FIELDS["echo"],  # true or false
    "top_logprobs": _top_logprobs,
    "response_format": _only({"type": "text"}),
    "tools": _only([]),
    "tool_choice": _only("none", "auto"),
    "parallel_tool_calls": _only(True, False),
    "store": _only(False),
    "metadata": _only({}),
    "service_tier": _only("auto", "default"),
}


def to_chat(answer: Mapping[str, Any], top_logprobs: int = 0) -> dict[str, Any]:
    """A chat response of a completion's."""
    choices = [
        {
            "index": choice["index"],
            "message": {"role": "assistant", "content": choice["text"], "refusal": None},
            "logprobs": _to_chat_logprobs(choice["logprobs"], top_logprobs),
            "finish_reason": choice["finish_reason"],
        }
        for choice in answer["choices"]
    ]
    return {**answer, "object": "chat.completion", "choices": choices}


def to_chat_chunk(
    chunk: Mapping[str, Any], begun: set[int], top_logprobs: int = 0
) -> dict[str, Any]:
    """A chat stream's chunk of a completion's.

    Args:
      chunk: Of the completion's stream.
      begun: Indices of choices that have had a chunk; new ones are added, and have a role.
      top_logprobs: Number of alternatives of each token.
    """
    choices = []
    for choice in chunk["choices"]:
        delta = {"content": choice["text"]} if choice["text"] else {}
        if choice["index"] not in begun:
            delta = {"role": "assistant", "content": ""} | delta
            begun.add(choice["index"])
        choices.append(
            {
                "index": choice["index"],
                "delta": delta,
                "logprobs": _to_chat_logprobs(choice["logprobs"], top_logprobs),
                "finish_reason": choice["finish_reason"],
            }
        )
    return {**chunk, "object": "chat.completion.chunk", "choices": choices}


def _to_chat_logprobs(
    logprobs: Mapping[str, Sequence[Any]] | None, count: int
) -> dict[str, Any] | None:
    if logprobs is None:
        return None
    columns = ("tokens", "token_logprobs", "top_logprobs")
    rows = zip(*(logprobs[name] for name in columns), strict=True)
    return {
        "content": [
            _describe(token, logprob)
            | {"top_logprobs": [_describe(*pair) for pair in _likeliest(top, count)]}
            for token, logprob, top in rows
        ],
        "refusal": None,
    }


def _likeliest(top: Mapping[str, float], count: int) -> list[tuple[str, float]]:
    """The `count` likeliest tokens, the likeliest first; completions also list the sampled one."""
    return sorted(top.items(), key=lambda pair: -pair[1])[:count]


def _describe(token: str, logprob: float) -> dict[str, Any]:
    escaped = token.removeprefix("bytes:")
    is_escaped = token.startswith("bytes:\\x")
    content = bytes.fromhex(escaped.replace("\\x", "")) if is_escaped else token.encode()
    return {"token": token, "logprob": logprob, "bytes": list(content)}
