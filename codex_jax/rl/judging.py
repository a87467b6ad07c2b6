"""Verdicts on samples during training: rewarded cases, shadow cases, and single ones on request."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import jax
import numpy as np
from jax.experimental import multihost_utils

from codex_jax import InputError, ranges
from codex_jax.evaluate.judging.pool import Job, Pool
from codex_jax.evaluate.sandbox.packages import describe
from codex_jax.evaluate.sandbox.sandbox import LEAST_MB, MOST_MB, MOST_S, Limits
from codex_jax.evaluate.verdicts import VERDICT_OF, Cause
from codex_jax.rl.cases import Cases

_CAUSES = list(Cause)
_NO_VERDICT = (Cause.INFRA_ERROR, Cause.LEFT_OUT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sandbox:
    """Limits of the programs, and where they run.

    Args:
      backend: "gvisor", "bubblewrap", or "auto": the first of them that passes its self-test.
      timeout_s: CPU seconds that a program may use in all.
      memory_mb: MiB of memory that a program may use.
      workers: Number of sandboxes in parallel; 0 means one a core.
      packages: Python packages, installed here, that programs may import.
    """

    backend: str = "auto"
    timeout_s: float = 3.0
    memory_mb: int = 1024
    workers: int = 0
    packages: Sequence[str] = ()


_RANGES = {
    "timeout_s": ranges.real(0, MOST_S, excludes_low=True),
    "memory_mb": ranges.integer(LEAST_MB, MOST_MB),
    "workers": ranges.workers(),
}


def check_sandbox(sandbox: Sandbox) -> None:
    """Checks the numbers.

    Raises:
      InputError: the first one that isn't in its range.
    """
    ranges.check("Sandbox", sandbox, _RANGES)


class Judgment(NamedTuple):
    """The sandbox's verdicts on one sample."""

    cause: Cause
    shadow_cause: Cause
    case_share: float | None = None

    @property
    def has_verdict(self) -> bool:
        """Whether the program was judged; else it has no reward."""
        return self.cause not in _NO_VERDICT and self.shadow_cause not in _NO_VERDICT

    @property
    def verdict(self) -> str:
        """The verdict on the rewarded cases."""
        return VERDICT_OF[self.cause]

    @property
    def passes(self) -> bool:
        """Whether the program passes the rewarded cases."""
        return self.cause == Cause.PASSED

    @property
    def passes_shadow(self) -> bool:
        """Whether it passes the shadow cases too."""
        return self.passes and self.shadow_cause == Cause.PASSED


class Judge:
    """Judges programs by problem; a context manager, at whose end no process is left.

    With several processes each judges a part, and all know all verdicts.
    """

    def __init__(self, cases: Mapping[str, Cases], sandbox: Sandbox, *, by_case: bool):
        """Prepares the problems.

        Args:
          cases: By task_id.
          sandbox: Limits and place.
          by_case: Whether each case is judged alone, too.
        """
        self._counts = {
            task_id: len(each.single) if by_case else 0 for task_id, each in cases.items()
        }
        problems = {}
        for task_id, each in cases.items():
            problems[_key(task_id, "rewarded")] = each.rewarded
            problems[_key(task_id, "shadow")] = each.shadow
            if by_case:
                problems |= {_key(task_id, n): problem for n, problem in enumerate(each.single)}
        limits = Limits(
            cpu_s=sandbox.timeout_s,
            memory_mb=sandbox.memory_mb,
            packages=describe(sandbox.packages),
        )
        workers = sandbox.workers or len(os.sched_getaffinity(0))
        self._pool = Pool(problems, sandbox=sandbox.backend, limits=limits, workers=workers)

    def __enter__(self) -> Self:
        self._pool.__enter__()
        self._pool.sandbox_info()
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.__exit__(*error)

    def judge(self, programs: Sequence[tuple[str, str]]) -> list[Judgment]:
        """Judges (task_id, program) pairs; equal ones once.

        Raises:
          InputError: sandboxes no longer start, on any process.
        """
        distinct = sorted(set(programs))
        share = distinct[jax.process_index() :: jax.process_count()]
        error, local = None, {}
        try:
            local = self._judge_here(share)
        except InputError as failure:
            error = failure
        judgments = dict(zip(distinct, _exchange(distinct, local, error), strict=True))
        return [judgments[program] for program in programs]

    def _judge_here(self, programs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Judgment]:
        jobs = {
            Job(_key(task_id, part), source): (task_id, source, part)
            for task_id, source in programs
            for part in ("rewarded", "shadow", *range(self._counts[task_id]))
        }
        causes = {jobs[job]: outcome.cause for job, outcome in self._pool.judge(list(jobs))}
        judgments = {}
        for task_id, source in programs:
            single = [causes[task_id, source, n] for n in range(self._counts[task_id])]
            rewarded, shadow = (causes[task_id, source, part] for part in ("rewarded", "shadow"))
            if any(cause in _NO_VERDICT for cause in single):
                rewarded = Cause.INFRA_ERROR
            share = float(np.mean([cause == Cause.PASSED for cause in single])) if single else None
            judgments[task_id, source] = Judgment(rewarded, shadow, share)
        return judgments


def _key(task_id: str, part: str | int) -> str:
    return f"{task_id}\0{part}"


def _exchange(
    programs: Sequence[tuple[str, str]],
    local: Mapping[tuple[str, str], Judgment],
    error: InputError | None,
) -> list[Judgment]:
    """Returns every process's judgments, in the order of the programs.

    Raises:
      InputError: of this process, or of another one.
    """
    rows = np.zeros((len(programs) + 1, 3), np.float64)
    rows[-1, 0] = error is not None
    for index, program in enumerate(programs):
        if judgment := local.get(program):
            share = np.nan if judgment.case_share is None else judgment.case_share
            causes = [_CAUSES.index(judgment.cause), _CAUSES.index(judgment.shadow_cause)]
            rows[index] = [*causes, share]
    if jax.process_count() > 1:
        rows = np.asarray(multihost_utils.process_allgather(rows.view(np.uint32)))
        rows = rows.view(np.float64).sum(0)
    if error is not None:
        raise error
    if rows[-1, 0]:
        raise InputError("another process couldn't judge: its message says why")
    return [
        Judgment(_CAUSES[int(a)], _CAUSES[int(b)], None if np.isnan(share) else float(share))
        for a, b, share in rows[:-1]
    ]
