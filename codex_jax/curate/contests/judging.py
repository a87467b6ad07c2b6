"""Outputs of contest programs, and whether they are right."""

from collections.abc import Sequence
from typing import Any

from codex_jax.curate.execution import Call, Session

Case = tuple[Any, Any]  # input, output
_BATCH = 24  # cases of one run
# Appended to a checker's source: it is asked about one output at a time.
_CHECKER_ENTRY = "is_right"


def outputs(session: Session, source: str, entry_point: str, inputs: Sequence[Any]) -> list[Any]:
    """Returns a program's outputs, None in place of one that it doesn't give."""
    results: list[Any] = []
    for start in range(0, len(inputs), _BATCH):
        batch = inputs[start : start + _BATCH]
        run = session.run(source, entry_point, [to_call(value) for value in batch])
        results += [None if answer.error else answer.value for answer in run.answers]
        results += [None] * (len(batch) - len(run.answers))
    return results


def to_call(value: Any) -> Call:
    """Returns the call of an input: a text, or a list of arguments."""
    return Call(tuple(value) if isinstance(value, list) else (value,), {})


def is_same(left: Any, right: Any) -> bool:
    """Whether two outputs are the same: texts word for word, tuples as lists."""
    if isinstance(left, str) and isinstance(right, str):
        return left.split() == right.split()
    return _as_lists(left) == _as_lists(right)


def _as_lists(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_lists(item) for item in value]
    return value


def passes(session: Session, checker: str, cases: Sequence[Case], answers: Sequence[Any]) -> bool:
    """Whether every answer is right: the expected one, or one that the checker accepts."""
    if any(answer is None for answer in answers):
        return False
    differing = [
        Call((value, expected, answer), {})
        for (value, expected), answer in zip(cases, answers, strict=True)
        if not is_same(expected, answer)
    ]
    if not differing:
        return True
    if not checker:
        return False
    run = session.run(checker, _CHECKER_ENTRY, differing)
    return len(run.answers) == len(differing) and all(a.value is True for a in run.answers)
