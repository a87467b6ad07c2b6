"""The trial of a reference: run alone, under five hash seeds, twice each in one process.

The second time the calls come in the opposite order, since the cases of a test come in another one.
"""

from collections.abc import Sequence

from codex_jax.curate.execution import Call, Session
from codex_jax.curate.problems.cases import Case, is_same_answer
from codex_jax.curate.problems.usefulness import RejectedError

HASH_SEEDS = 5
_MAX_CPU_S = 1.0


def reproduced(
    session: Session, source: str, entry_point: str, cases: Sequence[Case]
) -> list[Case]:
    """Returns the cases whose answers are the same, in value, type and changed arguments.

    Raises:
      RejectedError: the program ends early, or takes a second or more.
    """
    ordered = [*cases, *reversed(cases)]
    agreeing = {case.key for case in cases}
    for index in range(HASH_SEEDS):
        run = session.run(source, entry_point, [case.call for case in ordered], index=index)
        if len(run.answers) < len(ordered):
            raise RejectedError("ends early in the sandbox")
        if run.cpu_s / 2 >= _MAX_CPU_S:
            raise RejectedError("takes a second or more")
        for case, answer in zip(ordered, run.answers, strict=True):
            if not is_same_answer(case, answer):
                agreeing.discard(case.key)
    return [case for case in cases if case.key in agreeing]


def check_test(session: Session, source: str, entry_point: str, test: str) -> None:
    """Runs a problem's test on its reference, as it is written, under each hash seed.

    Args:
      session: Where it runs.
      source: The program with the reference.
      entry_point: The reference's name.
      test: Defines check(candidate).

    Raises:
      RejectedError: it fails once.
    """
    program = f"{source}\n{test}\ndef _try_out():\n    check({entry_point})\n    return True\n"
    for index in range(HASH_SEEDS):
        run = session.run(program, "_try_out", [Call((), {})], index=index)
        if not (run.answers and run.answers[0].value is True):
            raise RejectedError("its reference fails its test in another run")
