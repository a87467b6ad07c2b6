"""Curves over the number of samples: bounds, known choices, problems that don't count."""

import dataclasses

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax import records
from codex_jax.evaluate.select.curve import selection_curves
from codex_jax.evaluate.select.ranking import Evidence
from codex_jax.evaluate.verdicts import Cause


def judged(groups):
    """Rows of a selection, and verdicts, of (examples, behavior, passed) by sample of each task."""
    chosen, verdicts = [], []
    for number, group in enumerate(groups):
        rows = [
            Evidence(i, examples, False, behavior)
            for i, (examples, behavior, _) in enumerate(group)
        ]
        chosen.append(
            records.Completion(
                task_id=str(number), completion="", extra={"evidence": [r.to_json() for r in rows]}
            )
        )
        for index, (_, _, passed) in enumerate(group):
            verdict = "passed" if passed else "failed"
            verdicts.append(
                records.Verdict(task_id=str(number), sample_index=index, verdict=verdict)
            )
    return chosen, verdicts


SAMPLES = st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 2), st.booleans())
GROUPS = st.lists(st.lists(SAMPLES, min_size=1, max_size=8), min_size=1, max_size=5)


def means(curves, size):
    return {name: curve[size]["mean"] for name, curve in curves.items()}


def test_known_choices():
    """Examples single out the right sample; the largest behavior is wrong."""
    group = [(1.0, 0, True), (0.0, 1, False), (0.0, 1, False), (0.0, 1, False), (0.0, 2, False)]
    curves = selection_curves(*judged([group, group]))
    assert means(curves, "5") == {
        "prompt": 1.0,
        "examples": 1.0,
        "behavior": 0.0,
        "random": pytest.approx(0.2),
        "oracle": 1.0,
    }
    assert list(curves["prompt"]) == ["1", "5"]
    assert curves["prompt"]["5"]["problems"] == 2


def test_of_one_sample_all_choices_are_the_same():
    group = [(1.0, i, i == 2) for i in range(4)]
    assert len(set(means(selection_curves(*judged([group])), "1").values())) == 1


@hypothesis.given(GROUPS)
@hypothesis.settings(max_examples=30)
def test_no_choice_beats_the_oracle(groups):
    curves = selection_curves(*judged(groups))
    for size, best in curves["oracle"].items():
        assert 0 <= best["low"] <= best["high"] <= 1
        assert all(curve[size]["mean"] <= best["mean"] + 1e-9 for curve in curves.values())


def test_problems_that_are_left_out_do_not_count():
    chosen, verdicts = judged([[(1.0, 0, True)], [(1.0, 0, False)]])
    verdicts[1] = records.Verdict(task_id="1", verdict="left out", cause=Cause.LEFT_OUT)
    curves = selection_curves(chosen, verdicts)
    assert curves["prompt"]["1"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "problems": 1}


def test_without_problems_there_are_no_points():
    assert selection_curves([], [])["prompt"] == {}


def test_a_task_with_a_sample_left_out_does_not_count():
    chosen, verdicts = judged([[(1.0, 0, True), (0.0, 1, False)]] * 2)
    verdicts[0] = dataclasses.replace(verdicts[0], cause=Cause.LEFT_OUT)
    assert selection_curves(chosen, verdicts)["prompt"]["1"]["problems"] == 1


def test_the_oracle_chooses_among_the_samples_that_the_others_do():
    group = [(float(i == 5), 0, i == 5) for i in range(8)]
    shares = means(selection_curves(*judged([group])), "5")
    assert shares["examples"] == shares["prompt"] == shares["oracle"] == pytest.approx(0.9)
