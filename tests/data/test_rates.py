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
    assert total == pytest.approx(sum(array.sum() for array in lengths.values()), rel=0.01)
    for name, rate in rates.items():
        assert tokens[name] / total == pytest.approx(rate / sum(rates.values()), abs=0.01)


def test_an_empty_member_takes_nothing():
    lengths = {"a": np.array([5, 5]), "b": np.zeros(0, np.int64)}
    copies = count_copies(lengths, {"a": 0.1, "b": 0.9}, seed=0)
    assert copies["a"].tolist() == [1, 1]
    assert not copies["b"].size
