"""References first: a problem whose reference fails its own test says nothing about samples.

Such a problem is judged in-process, next to the program, if its reference passes there; else its
samples are left out of pass@k, with the reason.
"""

import pathlib
from collections.abc import Mapping, Sequence

from codex_jax import records
from codex_jax.evaluate.judging.check_plan import defines_check
from codex_jax.evaluate.judging.pool import Pool
from codex_jax.evaluate.languages import registry
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
    outside = VerdictLog(path, tasks, conditions)
    references = [_reference(problem) for problem in tasks.values() if _has_check(problem)]
    outside.judge(references, pool, "references")
    rows = {row.task_id: row for row in outside.verdicts(references)}
    reasons = {name: reason for name, row in rows.items() if (reason := _fault(tasks[name], row))}
    variants = {name: _in_process(tasks[name]) for name in reasons if _can_move(tasks[name])}
    pool.replace(variants)
    inside = VerdictLog(path, variants, conditions)
    moved = [_reference(p, 1) for p in variants.values() if p.canonical_solution]
    inside.judge(moved, pool, "references in-process")
    for row in inside.verdicts(moved):
        if row.passed:
            continue
        del variants[row.task_id]
        if rows[row.task_id].passed:  # with inexact values, but there is nothing better
            del reasons[row.task_id]
            pool.replace({row.task_id: tasks[row.task_id]})
        else:
            reasons[row.task_id] += f"; in-process {row.cause}: {row.detail}"
    left_out = {name: _leave_out(tasks[name], reasons[name]) for name in reasons.keys() - variants}
    return {**tasks, **variants, **left_out}, outside.by_key


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
        return f"{row.cause}: {row.detail}" if row.detail else row.cause
    return ""


def _can_move(problem: records.Problem) -> bool:
    is_outside = not problem.extra.get("mode") and not formats.has_inputs(problem)
    return is_outside and not registry.absence("python", "")


def _in_process(problem: records.Problem) -> records.Problem:
    """Returns the problem with its test run after the program, in one process."""
    call = f"\ncheck({problem.entry_point})\n" if defines_check(problem.test) else ""
    extra = problem.extra | {"language": "python", "mode": "in-process"}
    return records.Problem(**vars(problem) | {"test": problem.test + call, "extra": extra})


def _leave_out(problem: records.Problem, reason: str) -> records.Problem:
    extra = problem.extra | {Cause.LEFT_OUT.value: reason}
    return records.Problem(**vars(problem) | {"extra": extra})
