"""Kept samples: right, different, at most k, easy problems weigh less."""

import pytest

from codex_jax.records import Completion, Verdict
from codex_jax.rl.keep import Keep, keep_samples
from tests.rl.conftest import make_problem

PROBLEMS = {
    "t/1": make_problem(1, prompt="def f(x):\n"),
    "t/2": make_problem(2, prompt="def f(x):\n"),
}


def keep(task_id, rows, **rules):
    """Keeps of (text, verdict, finish reason) rows; returns (texts, weights)."""
    samples = [
        Completion(task_id=task_id, completion=text, sample_index=n, finish_reason=reason)
        for n, (text, _, reason) in enumerate(rows)
    ]
    verdicts = [
        Verdict(task_id=task_id, sample_index=n, verdict=verdict, cause=verdict)
        for n, (_, verdict, _) in enumerate(rows)
    ]
    examples = keep_samples(PROBLEMS, samples, verdicts, Keep(**rules))
    return [s.completion for s in examples], [s.extra["weight"] for s in examples]


def row(number, verdict="passed", reason="stop"):
    return f"    return x + {number}\n", verdict, reason


def test_right_and_different_programs_stay():
    rows = [row(1), ("    return x  +  1  # again\n", "passed", "stop"), row(2, "failed"), row(3)]
    assert keep("t/1", rows) == ([row(1)[0], row(3)[0]], [1.0, 1.0])


def test_programs_that_were_cut_do_not():
    assert keep("t/1", [row(1, reason="length"), row(2), row(3, "failed")])[0] == [row(2)[0]]


@pytest.mark.parametrize("most", [1, 2, 5])
def test_at_most_k_of_a_problem_stay(most):
    rows = [row(n) for n in range(4)] + [row(9, "failed")]
    assert len(keep("t/1", rows, samples_per_problem=most)[0]) == min(4, most)


def test_what_is_nearly_always_solved_weighs_less():
    easy = [row(n) for n in range(10)]
    assert set(keep("t/1", easy)[1]) == {0.2}
    assert set(keep("t/1", [*easy[:9], row(9, "failed")])[1]) == {1.0}  # 90 % isn't more than 90 %


def test_what_former_rounds_did_not_solve_weighs_more():
    samples = [Completion(task_id="t/1", completion=row(1)[0], sample_index=0)]
    verdicts = [Verdict(task_id="t/1", sample_index=0, verdict="passed", cause="passed")]
    weights = [
        keep_samples(PROBLEMS, samples, verdicts, rules, rounds_before=number)[0].extra["weight"]
        for rules in (Keep(easy_rate=1, unsolved_factor=2), Keep(unsolved_factor=3), Keep())
        for number in (0, 1, 3)
    ]
    assert weights == pytest.approx([1, 2, 8, 0.2, 0.6, 5.4, 0.2, 0.2, 0.2])


def test_samples_without_a_verdict_count_for_nothing():
    rows = [row(n) for n in range(9)] + [row(9, "infra_error")] * 3
    texts, weights = keep("t/2", rows)
    assert len(texts) == 4
    assert set(weights) == {0.2}
