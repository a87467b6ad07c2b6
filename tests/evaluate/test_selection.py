"""Choosing one sample: bounds, ties, known orders; and the paired comparison of two runs."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from codex_jax import InputError, records
from codex_jax.evaluate.metrics import selection

rows = st.lists(
    st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(-9, 0), st.floats(-99, 0)),
    min_size=1,
    max_size=30,
)


def judge(pairs):
    samples = [
        records.Completion(task_id=t, completion="", sample_index=i, mean_logprob=m, sum_logprob=s)
        for i, (t, _, m, s) in enumerate(pairs)
    ]
    verdicts = [
        records.Verdict(task_id=t, sample_index=i, verdict="passed" if p else "failed")
        for i, (t, p, _, _) in enumerate(pairs)
    ]
    return samples, verdicts


def test_known_choices():
    pairs = [("a", True, -0.1, -9.0), ("a", False, -0.5, -1.0), ("a", False, -0.9, -2.0)]
    shares = selection.selection(*judge(pairs))
    assert shares["mean_logprob"] == 1.0
    assert shares["sum_logprob"] == 0.0
    assert shares["random"] == pytest.approx(1 / 3)
    assert shares["oracle"] == 1.0


@hypothesis.given(rows)
def test_no_choice_beats_the_oracle_and_random_is_pass_at_1(pairs):
    shares = selection.selection(*judge(pairs))
    assert all(0 <= share <= shares["oracle"] for share in shares.values())
    tasks = {t for t, *_ in pairs}
    mean = np.mean([np.mean([p for t, p, *_ in pairs if t == task]) for task in tasks])
    assert shares["random"] == pytest.approx(mean)


def test_without_log_probabilities_there_is_no_ranking_by_them():
    sample = records.Completion(task_id="a", completion="")
    verdict = records.Verdict(task_id="a", verdict="passed")
    assert selection.selection([sample], [verdict]) == {"random": 1.0, "oracle": 1.0}


def test_equals_share_the_choice():
    assert selection.selected_pass_rate([1.0, 1.0, 0.0], [True, False, False]) == 0.5


def test_mbr_exec_follows_the_majority_on_all_inputs():
    outputs = [(1, 2), (1, 2), (1, 3), (1, 2), (1, 3)]
    assert selection.mbr_exec_scores(outputs) == [3, 3, 2, 3, 2]


def test_pairing_finds_a_difference_that_intervals_of_each_run_hide():
    rng = np.random.default_rng(0)
    hardness = rng.random(100)
    first = {str(i): (200, int(200 * h * 0.9)) for i, h in enumerate(hardness)}
    second = {str(i): (200, int(200 * min(1, h * 0.9 + 0.03))) for i, h in enumerate(hardness)}
    result = selection.paired_bootstrap(first, second)
    assert 0 < result["low"] <= result["difference"] <= result["high"]
    assert result["worse"] == 0
    back = selection.paired_bootstrap(second, first)
    assert back["difference"] == pytest.approx(-result["difference"])


def test_runs_without_a_common_problem_are_one_line():
    with pytest.raises(InputError, match="no problem with 1 samples in both runs"):
        selection.paired_bootstrap({"a": (1, 1)}, {"b": (1, 1)})
