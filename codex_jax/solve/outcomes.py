"""Outcomes of a body on the probes: what it returned, raised, or holds in its variables so far."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from codex_jax import records
from codex_jax.evaluate.select.behaviors import digest
from codex_jax.evaluate.select.examples import Example
from codex_jax.solve.statements import OPEN


class Outcome(NamedTuple):
    """A program's behavior on one probe.

    Attributes:
      variables: by name, if it reached the end of its statements; else None.
      value: what it returned.
      arguments: after the call, if it changed them.
      error: name of the exception that it raised, or "".
    """

    variables: Mapping[str, Any] | None = None
    value: Any = None
    arguments: Sequence[Any] | None = None
    error: str = ""

    @property
    def has_value(self) -> bool:
        """Whether it returned something other than None."""
        return self.variables is None and not self.error and self.value is not None


def read_outcomes(run: records.Run, *, is_final: bool) -> list[Outcome]:
    """Returns the outcomes of a run's answers; those of a final program are no variables."""
    return [_outcome(answer, is_final) for answer in run.answers]


def _outcome(answer: records.Answer, is_final: bool) -> Outcome:
    if answer.error:
        return Outcome(error=answer.error.partition(":")[0])
    value = answer.value
    is_pair = type(value) is tuple and len(value) == 2 and type(value[1]) is dict
    if is_pair and value[0] == OPEN and not is_final:
        return Outcome(variables=value[1])
    return Outcome(value=value, arguments=answer.arguments)


def find_fault(outcomes: Sequence[Outcome], examples: Mapping[int, Example], probes: int) -> str:
    """Returns why a body can't become the program that the prompt asks for; "" if it can.

    Args:
      outcomes: its outcomes.
      examples: the prompt's examples, by the numbers of their probes.
      probes: the number of outcomes that there should be.
    """
    if len(outcomes) < probes:
        return "ended"
    if all(outcome.error for outcome in outcomes) or any(outcomes[n].error for n in examples):
        return "raised"
    if not any(o.has_value or o.variables is not None for o in outcomes):
        return "empty"
    closed = [(outcomes[n], e) for n, e in examples.items() if outcomes[n].variables is None]
    if not all(example.is_satisfied(outcome.value) for outcome, example in closed):
        return "against_examples"
    return ""


def is_open(outcomes: Sequence[Outcome]) -> bool:
    """Whether a body goes on after its statements, on one probe at least."""
    return any(outcome.variables is not None for outcome in outcomes)


def make_key(
    outcomes: Sequence[Outcome], parameters: Sequence[str], passing: Collection[str], text: str
) -> str:
    """Returns a text that bodies in equal states share.

    States are equal up to the names of variables other than parameters. A variable whose value
    isn't plain data, such as a function, is equal to those of the same text alone.

    Args:
      outcomes: on all probes.
      parameters: names of the function's parameters.
      passing: names of variables that don't count, as those of loops that have ended.
      text: the body's.
    """
    closed = [
        None if o.variables is not None else _digest_or([o.value, o.arguments, o.error], text)
        for o in outcomes
    ]
    rows = [outcome.variables or {} for outcome in outcomes]
    names = {name for row in rows for name in row} - set(passing)
    columns = {
        name: _digest_or([[row[name]] if name in row else [] for row in rows], text)
        for name in names
    }
    fixed = [columns.get(name, "") for name in parameters]
    others = sorted(column for name, column in columns.items() if name not in parameters)
    return digest([closed, fixed, others])


def _digest_or(values: list[Any], text: str) -> str:
    return digest(values) or text
