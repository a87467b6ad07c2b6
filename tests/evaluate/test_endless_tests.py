"""Tests that don't end on a program's answers: the kernel ends what no signal handler can."""

import pytest

from codex_jax import records
from codex_jax.evaluate.judging.pool import Job, Pool
from codex_jax.evaluate.sandbox.sandbox import Limits
from tests.evaluate.test_references import problem, run, run_left_out

RIGHT = "def f(n):\n    return range(n)\n"
HUGE = "def f(n): return range(10**15)\n"
# Name -> the test's body, and a program on whose answer it doesn't end.
ENDLESS = {
    "sum": ("assert sum(c(3)) == 3", HUGE),
    "max": ("assert max(c(3)) == 2", HUGE),
    "in": ("assert -1.5 not in c(3)", HUGE),
    "a power": ("assert 10 ** (10 ** len(c(3))) == 10**1000", "def f(n): return range(8)\n"),
    "a loop in Python": ("n = 0\nwhile n < c(3)[-1]:\n    n += 1", HUGE),
    "all errors caught": (
        "n = 0\nwhile n < c(3)[-1]:\n    try:\n        n += 1\n"
        "        assert sum(c(3)) < 9\n    except BaseException:\n        pass",
        HUGE,
    ),
    "an iterator without an end": (
        "assert sum(c(3)) == 3",
        "def f(n):\n    while True:\n        yield 0\n",
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_the_program_runs_out_of_time_and_no_other_one_suffers(name):
    test, program = ENDLESS[name]
    body = "".join(f"    {line}\n" for line in test.splitlines())
    problem = records.Problem(
        task_id="t",
        prompt="",
        entry_point="f",
        test=f"def check(c):\n{body}",
        canonical_solution=RIGHT,
    )
    honest = [RIGHT + f"N = {i}\n" for i in range(4)]
    sources = [*honest[:2], program, *honest[2:]]
    limits = Limits(cpu_s=0.2)
    with Pool({"p": problem}, sandbox="bubblewrap", limits=limits, workers=1) as pool:
        results = {
            job.source: outcome for job, outcome in pool.judge([Job("p", s) for s in sources])
        }
    assert {results[source].cause for source in honest} == {"passed"}
    assert results[program].cause == "time_limit", results[program]


def test_in_process_too(tmp_path):
    """The test runs in the sandbox then, under the program's own limits."""
    reference = "def f(n):\n    return lambda: range(n)\n"
    endless = "def f(n):\n    return lambda: range(10**15)\n"
    closure = problem("t", reference, "assert sum(c(3)()) == 3")
    samples = [("t", endless), ("t", reference + "N = 1\n")]
    _, rows = run(tmp_path, [closure], samples, timeout_s=0.3)
    assert [rows["t", i].cause for i in range(2)] == ["time_limit", "passed"]
    assert {row.extra["mode"] for row in rows.values()} == {"in-process"}


def test_a_reference_that_does_not_end_leaves_its_problem_out(tmp_path):
    endless = problem("t", "def f(n):\n    while n: pass\n", "assert c(3) == 3")
    report, rows = run_left_out(tmp_path, endless, "def f(n): return n\n", timeout_s=0.3)
    assert rows["t", 0].cause == "left_out"
    assert "time_limit" in report["references"]["left_out"]["t"]
