"""Shares of tokens by rate."""

import numpy as np
import pytest

from codex_jax.data.packing.rates import count_copies


@pytest.mark.parametrize("rates", [{"a": 1, "b": 1}, {"a": 0.9, "b": 0.1}, {"a": 3, "b": 0}])
def test_tokens_are_in_the_rates(rates):
    rng = np.random.default_rng(0)
    lengths = {"a": rng.integers(1, 100, 500), "b": rng.integers(1, 300, 2000)}
    copies = count_copies(lengths, rates, seed=0)
    tokens = {name: int((lengths[name] * copies[name]).sum()) for name in rates}
    total = sum(tokens.values())
    size = sum(lengths[name].sum() for name, rate in rates.items() if rate)
    assert total == pytest.approx(size, rel=0.01)
    for name, rate in rates.items():
        assert tokens[name] / total == pytest.approx(rate / sum(rates.values()), abs=0.01)


def test_a_member_of_rate_0_repeats_no_other():
    lengths = {"a": np.array([5, 5]), "b": np.full(100, 100), "c": np.array([7])}
    copies = count_copies(lengths, {"a": 0.3, "b": 0.0, "c": 0.0}, seed=0)
    assert {name: counts.sum() for name, counts in copies.items()} == {"a": 2, "b": 0, "c": 0}


def test_an_empty_member_takes_nothing():
    lengths = {"a": np.array([5, 5]), "b": np.zeros(0, np.int64)}
    copies = count_copies(lengths, {"a": 0.1, "b": 0.9}, seed=0)
    assert copies["a"].tolist() == [1, 1]
    assert not copies["b"].size
