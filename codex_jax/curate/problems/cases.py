"""Cases of a problem: a call, what the reference answered, and assertions that say so."""

import keyword
import math
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from codex_jax import records
from codex_jax.curate.execution import Call
from codex_jax.curate.inputs import literals

_FLOAT_TOLERANCE = 1e-6


class Case(NamedTuple):
    """A call and its answer, all plain values."""

    call: Call
    value: Any
    arguments: list[Any] | None = None  # after the call, if it changed them
    branches: frozenset[int] = frozenset()
    is_recorded: bool = False  # whether a test of the package made this call

    @property
    def key(self) -> str:
        """Text that is equal for equal calls."""
        return call_text("", self.call)

    @property
    def output(self) -> str:
        """Text that is equal for equal answers."""
        changed = "" if self.arguments is None else literals.literal(self.arguments)
        return f"{literals.literal(self.value)} {changed}"


def call_text(function: str, call: Call) -> str:
    """Returns a call as an expression.

    Raises:
      ValueError: an argument isn't plain or is too long, or has a name that no program can spell.
    """
    if strange := [name for name in call.named if not _is_name(name)]:
        raise ValueError(f"{strange[0]!r} is no name of an argument")
    texts = list(map(literals.literal, call.arguments))
    texts += [f"{name}={literals.literal(value)}" for name, value in call.named.items()]
    return f"{function}({', '.join(texts)})"


def _is_name(text: str) -> bool:
    """Whether a program reads the text as this very name: `class` and the ligature `ﬁ` are none."""
    is_spelled = unicodedata.normalize("NFKC", text) == text
    return text.isidentifier() and is_spelled and not keyword.iskeyword(text)


def case_of(call: Call, answer: records.Answer, branches: Iterable[int] = ()) -> Case | None:
    """Returns the case, or None where the call raised or the answer has no short literal."""
    if answer.error:
        return None
    case = Case(call, answer.value, answer.arguments, frozenset(branches))
    try:
        is_short = len(case.key) + len(case.output) < literals.MAX_TEXT
    except ValueError:
        return None
    return case if is_short else None


def is_same_answer(case: Case, answer: records.Answer) -> bool:
    """Whether an answer has the case's value, types and changed arguments."""
    return (
        not answer.error
        and literals.is_equal(answer.value, case.value)
        and literals.is_equal(answer.arguments, case.arguments)
    )


def check_function(cases: Sequence[Case], *, is_generator: bool) -> str:
    """Returns the source of check(candidate), which asserts every case."""
    body = "".join(_assertion(case, is_generator=is_generator) for case in cases)
    return f"def check(candidate):\n{body}"


def _assertion(case: Case, *, is_generator: bool) -> str:
    if case.arguments is None:
        call = call_text("candidate", case.call)
        return f"    assert {_comparison(call, case.value, is_generator=is_generator)}\n"
    named = "".join(f", {name}={literals.literal(v)}" for name, v in case.call.named.items())
    comparison = _comparison(f"candidate(*arguments{named})", case.value, is_generator=is_generator)
    return (
        f"    arguments = {literals.literal(list(case.call.arguments))}\n"
        f"    assert {comparison}\n"
        f"    assert arguments == {literals.literal(case.arguments)}\n"
    )


def _comparison(call: str, value: Any, *, is_generator: bool) -> str:
    if is_generator:
        return f"list({call}) == {literals.literal(value)}"
    if type(value) is float and math.isfinite(value):
        tolerance = _FLOAT_TOLERANCE * max(1.0, abs(value))
        return f"abs({call} - {literals.literal(value)}) <= {tolerance:.3g}"
    if value is None or type(value) is bool:
        return f"{call} is {value}"
    return f"{call} == {literals.literal(value)}"


def doctest_lines(function: str, case: Case, *, is_generator: bool = False) -> list[str]:
    """Returns the case as Python's prompt shows it; none if it has no plain form there.

    Sets are shown in any order, so that a call with one is compared.
    """
    if case.arguments is not None or case.value is None:
        return []
    call = call_text(function, case.call)
    call = f"list({call})" if is_generator else call
    text = literals.literal(case.value)
    has_set = any(isinstance(part, set | frozenset) for part in literals.parts(case.value))
    lines = [f">>> {call} == {text}", "True"] if has_set else [f">>> {call}", repr(case.value)]
    return lines if all(len(line) < 90 for line in lines) else []
