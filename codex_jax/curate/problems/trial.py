"""The trial of a reference: run alone, under three hash seeds, twice each in one process."""

from collections.abc import Sequence

from codex_jax.curate.execution import Session
from codex_jax.curate.problems.cases import Case, is_same_answer
from codex_jax.curate.problems.usefulness import RejectedError

HASH_SEEDS = 3
_MAX_CPU_S = 1.0


def reproduced(
    session: Session, source: str, entry_point: str, cases: Sequence[Case]
) -> list[Case]:
    """Returns the cases whose answers are the same, in value, type and changed arguments.

    Raises:
      RejectedError: the program ends early, or takes a second or more.
    """
    calls = [case.call for case in cases]
    agreeing = list(cases)
    for index in range(HASH_SEEDS):
        run = session.run(source, entry_point, calls + calls, index=index)
        if len(run.answers) < 2 * len(calls):
            raise RejectedError("ends early in the sandbox")
        if run.cpu_s / 2 >= _MAX_CPU_S:
            raise RejectedError("takes a second or more")
        answers = dict(
            zip(
                (case.key for case in cases),
                zip(run.answers, run.answers[len(calls) :], strict=False),
                strict=False,
            )
        )
        agreeing = [
            case
            for case in agreeing
            if all(is_same_answer(case, answer) for answer in answers[case.key])
        ]
    return agreeing
