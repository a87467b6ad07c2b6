"""References first: a problem whose reference fails its own test says nothing about samples.

Such a problem is judged in-process, next to the program, if its reference passes there; else its
samples are left out of pass@k, with the reason. So are those of a problem that imports what this
machine lacks.
"""

import collections
import pathlib
import sys
from collections.abc import Mapping, Sequence

from codex_jax import records
from codex_jax.evaluate.judging import inner_test
from codex_jax.evaluate.judging.check_plan import defines_check
from codex_jax.evaluate.judging.judge import NO_CALLS
from codex_jax.evaluate.judging.pool import ENDS_JUDGE, Pool
from codex_jax.evaluate.languages import registry
from codex_jax.evaluate.libraries import missing_libraries
from codex_jax.evaluate.problems import formats
from codex_jax.evaluate.verdict_log import VerdictLog
from codex_jax.evaluate.verdicts import Cause


def check_references(
    tasks: Mapping[str, records.Problem], path: pathlib.Path, conditions: Sequence[str], pool: Pool
) -> tuple[dict[str, records.Problem], dict[str, records.Verdict]]:
    """Returns the problems, changed where their references fail, and verdicts by their keys.

    Args:
      tasks: problems to judge.
      path: log of the references' verdicts.
      conditions: as in VerdictLog.
      pool: judges the references, and then the samples by the changed problems.
    """
    missing = missing_libraries(tasks, pool)
    _print_once(missing, len(tasks))
    usable = {name: problem for name, problem in tasks.items() if name not in missing}
    outside = VerdictLog(path, usable, conditions)
    references = [_reference(problem) for problem in usable.values() if _has_check(problem)]
    outside.judge(references, pool, "references")
    rows = {row.task_id: row for row in outside.verdicts(references)}
    reasons = {name: reason for name, row in rows.items() if (reason := _fault(tasks[name], row))}
    is_hopeless = {name: NO_CALLS in r or ENDS_JUDGE in r for name, r in reasons.items()}
    variants = {
        name: _in_process(tasks[name])
        for name in reasons
        if _can_move(tasks[name]) and not is_hopeless[name]
    }
    for name, failure in _failures_inside(variants, path, conditions, pool).items():
        del variants[name]
        pool.replace({name: tasks[name]})
        if rows[name].passed:  # with inexact values, but there is nothing better
            del reasons[name]
        else:
            reasons[name] += f"; in-process {failure}"
    unusable = missing | {n: reason for n, reason in reasons.items() if n not in variants}
    left_out = {name: _leave_out(tasks[name], reason) for name, reason in unusable.items()}
    return {**tasks, **variants, **left_out}, outside.by_key


def _failures_inside(
    variants: Mapping[str, records.Problem],
    path: pathlib.Path,
    conditions: Sequence[str],
    pool: Pool,
) -> dict[str, str]:
    """Judges references in-process; returns why problems can't be judged so, by task_id."""
    failures = missing_libraries(variants, pool)
    pool.replace(variants)
    inside = VerdictLog(path, variants, conditions)
    usable = (p for p in variants.values() if p.canonical_solution and p.task_id not in failures)
    references = [_reference(problem, 1) for problem in usable]
    inside.judge(references, pool, "references in-process")
    rows = [row for row in inside.verdicts(references) if not row.passed]
    return failures | {row.task_id: f"{row.cause}: {row.detail}" for row in rows}


def _print_once(reasons: Mapping[str, str], problems: int) -> None:
    """Prints each reason once, with the number of problems that it leaves out."""
    for reason, count in collections.Counter(reasons.values()).items():
        print(f"{reason} ({count} of {problems} problems are left out)", file=sys.stderr)


def _has_check(problem: records.Problem) -> bool:
    """Whether there is a reference, or a test outside whose arguments may be unfit to be sent."""
    return bool(problem.canonical_solution) or not problem.extra.get("mode")


def _reference(problem: records.Problem, index: int = 0) -> records.Completion:
    text = problem.canonical_solution
    return records.Completion(task_id=problem.task_id, completion=text, sample_index=index)


def _fault(problem: records.Problem, row: records.Verdict) -> str:
    """Returns why the problem can't be judged as it is; empty if it can.

    A verdict that was reached with inexact values counts where there is no better one.
    """
    is_inexact = row.detail and _can_move(problem)
    is_wrong = problem.canonical_solution and (not row.passed or is_inexact)
    if is_wrong or row.cause == Cause.LEFT_OUT:
        cause = "" if row.cause == Cause.LEFT_OUT else row.cause
        return ": ".join(filter(None, [cause, row.detail]))
    return ""


def _can_move(problem: records.Problem) -> bool:
    return not problem.extra.get("mode") and not registry.absence("python", "")


def _in_process(problem: records.Problem) -> records.Problem:
    """Returns the problem with its test run after the program, in one process."""
    extra = problem.extra | {"language": "python", "mode": "in-process"}
    test = problem.test
    if formats.has_inputs(problem):
        test = inner_test.from_inputs(problem)
        extra = {name: v for name, v in extra.items() if name not in ("base_input", "plus_input")}
    call = f"\ncheck({problem.entry_point})\n" if defines_check(test) else ""
    return records.Problem(**vars(problem) | {"test": test + call, "extra": extra})


def _leave_out(problem: records.Problem, reason: str) -> records.Problem:
    extra = problem.extra | {Cause.LEFT_OUT.value: reason}
    return records.Problem(**vars(problem) | {"extra": extra})
