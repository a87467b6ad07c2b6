"""Judgments by the real sandbox: rewarded, shadow and single cases; errors are no verdicts."""

import pytest

from codex_jax import InputError
from codex_jax.evaluate.verdicts import Cause, Outcome
from codex_jax.rl import judging
from codex_jax.rl.cases import split_cases
from codex_jax.rl.judging import Judge, Judgment, Sandbox, check_sandbox
from tests.rl.conftest import make_problem

CASES = {"t/1": split_cases(make_problem(1), 0.25)}
RIGHT = "def f(x):\n    return x + 1\n"
MEMORIZES = "def f(x):\n    return {0: 1, 1: 2, 2: 3}.get(x)\n"
PARTLY = "def f(x):\n    return 1 if x == 0 else 5\n"


def test_rewarded_and_shadow_cases_are_told_apart(sandbox_name):
    programs = [("t/1", text) for text in (RIGHT, MEMORIZES, PARTLY, "def f(x:", RIGHT)]
    with Judge(CASES, Sandbox(backend=sandbox_name, workers=1), by_case=True) as judge:
        judgments = judge.judge(programs)
    assert [judgment.passes for judgment in judgments] == [True, True, False, False, True]
    assert [j.passes_shadow for j in judgments] == [True, False, False, False, True]
    shares = [judgment.case_share for judgment in judgments]
    assert shares == [1, 1, pytest.approx(1 / 3), 0, 1]
    assert all(judgment.has_verdict for judgment in judgments)
    assert judgments[3].verdict == "failed"


class BrokenPool:
    """Stands for a pool whose sandboxes are down: for all programs, or for a part of them."""

    def __init__(self, problems, **_):
        self.problems = problems

    def judge(self, jobs):
        if any("down" in job.source for job in jobs):
            raise InputError("sandboxes no longer start")
        for job in jobs:
            is_lost = "lost" in job.source and job.problem.endswith("shadow")
            yield job, Outcome(Cause.INFRA_ERROR if is_lost else Cause.PASSED)


def test_an_error_of_the_infrastructure_is_no_verdict(monkeypatch):
    monkeypatch.setattr(judging, "Pool", BrokenPool)
    judge = Judge(CASES, Sandbox(), by_case=False)
    lost, sound = judge.judge([("t/1", "lost"), ("t/1", "sound")])
    assert (lost.has_verdict, sound.has_verdict) == (False, True)
    assert sound == Judgment(Cause.PASSED, Cause.PASSED)
    with pytest.raises(InputError, match="sandboxes no longer start"):
        judge.judge([("t/1", "down")])


def test_a_package_that_is_not_installed_is_refused():
    with pytest.raises(InputError, match="no_such_package is not installed"):
        Judge(CASES, Sandbox(packages=("no_such_package",)), by_case=False)


def test_limits_out_of_range_are_refused():
    settings = [("workers", -1), ("timeout_s", 0), ("timeout_s", 1e12), ("memory_mb", 1)]
    for name, value in [*settings, ("memory_mb", 10**8)]:
        with pytest.raises(InputError, match=rf"Sandbox\.{name} is {value}; set it to"):
            check_sandbox(Sandbox(**{name: value}))
