"""Behaviors: what programs answer to calls in the sandbox, as digests that can be compared."""

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from codex_jax import records
from codex_jax.evaluate.sandbox.guest import value_codec

ENDED = "ended"  # in place of a digest, where a program gave no answer
RAISED = "raised "  # begins the digest of an exception

Call = tuple[tuple[Any, ...], dict[str, Any]]  # positional and named arguments
Sample = TypeVar("Sample", bound=Hashable)


class Session(Protocol):
    """A sandbox in which programs run."""

    def run(self, source: str, entry_point: str, calls: Sequence[Call]) -> records.Run:
        """Runs a program; returns its answers to the calls."""
        ...


class Reply(NamedTuple):
    """An answer's value, and a digest that equal answers share."""

    value: Any
    digest: str

    @property
    def has_answer(self) -> bool:
        """Whether the program returned, rather than raised or ended."""
        return self.digest != ENDED and not self.digest.startswith(RAISED)

    @property
    def is_value(self) -> bool:
        """Whether the program returned something other than None."""
        return self.has_answer and self.value is not None


def run_program(
    session: Session, source: str, entry_point: str, calls: Sequence[Call]
) -> list[Reply]:
    """Runs a program on calls; returns a reply for each."""
    if not calls:
        return []
    run = session.run(source, entry_point, calls)
    replies = [_reply(answer) for answer in run.answers]
    return replies + [Reply(None, ENDED)] * (len(calls) - len(replies))


def _reply(answer: records.Answer) -> Reply:
    if answer.error:
        return Reply(None, RAISED + answer.error.partition(":")[0])
    return Reply(answer.value, digest([answer.value, answer.arguments]))


def digest(value: Any) -> str:
    """Returns a hash of a plain value with its types, floats to nine digits; "" for others.

    The order of sets and of dicts doesn't count.
    """
    try:
        text = json.dumps(value_codec.encode(_round(value), strict=True))
    except (TypeError, ValueError, RecursionError):
        return ""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _round(value: Any) -> Any:
    if type(value) is float:
        return float(f"{value:.9g}")
    if type(value) in (list, tuple):
        return type(value)(map(_round, value))
    if type(value) is dict:
        items = ((digest(key), key, item) for key, item in value.items())
        return {key: _round(item) for _, key, item in sorted(items, key=lambda item: item[0])}
    if type(value) in (set, frozenset):
        return type(value), sorted(_member_digest(member) for member in value)
    return value


def _member_digest(member: Any) -> str:
    if not (text := digest(member)):
        raise TypeError("a member that isn't plain data")
    return text


def number_behaviors(digests: Mapping[Sample, Sequence[str]]) -> dict[Sample, int]:
    """Numbers behaviors from 0: samples with equal digests of all replies have one number.

    A sample without replies has a behavior of its own.
    """
    numbers: dict[tuple[Any, ...], int] = {}
    keys = {sample: tuple(row) or (sample, None) for sample, row in digests.items()}
    return {sample: numbers.setdefault(key, len(numbers)) for sample, key in keys.items()}
