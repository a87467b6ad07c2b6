"""The ranking of samples: which evidence decides before which, and ties."""

import dataclasses
import math

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax.evaluate.select.ranking import (
    Evidence,
    behavior_masses,
    choose,
    leading_behaviors,
    score_samples,
)


def row(index: int, **fields) -> Evidence:
    return Evidence(
        **{"sample_index": index, "examples": 1.0, "crashed": False, "behavior": 0} | fields
    )


ROWS = st.lists(
    st.builds(
        Evidence,
        sample_index=st.integers(0, 99),
        examples=st.sampled_from([0.0, 0.5, 1.0]),
        crashed=st.booleans(),
        behavior=st.integers(0, 3),
        tests=st.sampled_from([(), (0,), (0, 2)]),
        mean_logprob=st.none() | st.floats(-3, 0),
    ),
    min_size=1,
    max_size=12,
)


def test_examples_decide_first():
    rows = [row(i, examples=0.5, behavior=1) for i in range(5)] + [row(5)]
    assert choose(rows) == 5


def test_a_crash_on_all_inputs_counts_against():
    rows = [row(i, crashed=True, behavior=1) for i in range(5)] + [row(5)]
    assert choose(rows) == 5


def test_the_models_tests_decide_before_behaviors():
    """Two samples that pass three tests together outweigh three that pass one (CodeT)."""
    rows = [row(i, tests=(0,), behavior=1) for i in range(3)]
    rows += [row(i, tests=(1, 2, 3), behavior=i) for i in (3, 4)]
    assert score_samples(rows)[3].tests == 6
    assert choose(rows) == 3


def test_the_largest_behavior_is_chosen_and_its_likeliest_sample():
    rows = [row(0, behavior=1, mean_logprob=-0.1)]
    rows += [row(i, behavior=2, mean_logprob=-i) for i in (3, 2, 4)]
    assert choose(rows) == 2
    assert rows[2].sample_index == 2


def test_masses_are_counts_without_log_probabilities_and_probabilities_where_texts_cover_all():
    counted = [row(0, behavior=1), row(1, behavior=2), row(2, behavior=2)]
    assert behavior_masses(counted) == pytest.approx({1: 1 / 3, 2: 2 / 3})
    likely = [row(0, behavior=1, sum_logprob=math.log(0.9))]
    likely += [row(i, behavior=2, sum_logprob=math.log(0.1)) for i in (1, 2)]  # one text twice
    assert behavior_masses(likely) == pytest.approx({1: 0.9, 2: 0.1})
    unlikely = [row(i, behavior=min(i, 1), sum_logprob=-50.0 - i) for i in range(3)]
    assert behavior_masses(unlikely) == pytest.approx({0: 1 / 3, 1: 2 / 3})


def test_equal_texts_count_once_though_their_last_digits_differ():
    rows = [row(i, behavior=1, sum_logprob=math.log(0.3) - i * 1e-6) for i in range(3)]
    rows += [row(i, behavior=2, sum_logprob=math.log(0.7)) for i in range(3, 6)]
    assert behavior_masses(rows) == pytest.approx({1: 0.3, 2: 0.7}, abs=1e-4)


def test_a_reviewers_score_is_added():
    rows = [row(0, mean_logprob=-0.5, reviewer_logprob=-2.0)]
    rows += [row(1, mean_logprob=-0.6, reviewer_logprob=-1.0)]
    assert choose(rows) == 1


def test_without_any_difference_the_first_is_chosen():
    assert choose([row(7), row(3)]) == 0


def test_the_leading_behaviors_are_of_the_best_scores():
    rows = [row(0, behavior=1), row(1, behavior=2), row(2, behavior=2)]
    rows += [row(i, behavior=3, examples=0.0) for i in range(3, 9)]
    assert leading_behaviors(rows, 2) == {1, 2}
    assert leading_behaviors(rows, 1) == {2}


@hypothesis.given(ROWS)
def test_the_choice_has_no_better_sample_and_masses_add_up(rows):
    scores = score_samples(rows)
    assert all(scores[choose(rows)] >= score for score in scores)
    assert sum(behavior_masses(rows).values()) == pytest.approx(1.0)


@hypothesis.given(ROWS)
def test_evidence_survives_its_file(rows):
    assert [Evidence.from_json(r.to_json()) for r in rows] == rows
    assert all(f.name in rows[0].to_json() for f in dataclasses.fields(Evidence)[:4])
