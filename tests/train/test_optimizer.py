"""Schedules at their corners, and what weight decay touches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.model import DecoderConfig, abstract
from codex_jax.train import optimizer
from codex_jax.train.optimizer import Optimizer


@pytest.mark.parametrize(
    ("schedule", "end"), [("cosine", 0.1), ("wsd", 0.1), ("constant", 1.0), ("rsqrt", 0.3162)]
)
def test_warm_up_peak_and_end(schedule, end):
    rate = optimizer.learning_rate(
        Optimizer(learning_rate=2.0, warmup_steps=10, schedule=schedule), steps=100
    )
    np.testing.assert_allclose([rate(0), rate(4), rate(9)], [0.2, 1.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(rate(10), 2.0, rtol=1e-6)
    np.testing.assert_allclose(rate(100), 2.0 * end, rtol=1e-3)


def test_wsd_is_flat_until_its_decay():
    rate = optimizer.learning_rate(
        Optimizer(learning_rate=1.0, warmup_steps=10, schedule="wsd", decay_fraction=0.2), steps=100
    )
    np.testing.assert_allclose([rate(50), rate(80), rate(90)], [1.0, 1.0, 0.55], rtol=1e-5)


def test_matrices_decay_and_nothing_else():
    config = DecoderConfig(vocab_size=128, layers=2, width=32, heads=4)
    shapes, axes = abstract(config)
    tx = optimizer.make(
        Optimizer(warmup_steps=1, schedule="constant", learning_rate=0.1), steps=9, axes=axes
    )
    params = jax.tree.map(lambda s: jnp.ones(s.shape), shapes)
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    moved = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, leaf in jax.tree_util.tree_leaves_with_path(updates)
        if jnp.any(leaf != 0)
    }
    matrices = {"attention/q", "attention/k", "attention/v", "attention/out", "mlp/up", "mlp/down"}
    assert moved == {"embedding", "position"} | {f"blocks/{name}" for name in matrices}
    np.testing.assert_allclose(updates["embedding"], -0.1 * 0.1, rtol=1e-5)


def test_unknown_schedules_and_long_warm_ups_are_refused():
    with pytest.raises(InputError, match="'linear'; expected one of 'cosine'"):
        optimizer.learning_rate(Optimizer(schedule="linear", warmup_steps=1), steps=10)
    with pytest.raises(InputError, match="warmup_steps is 175; expected fewer than steps"):
        optimizer.learning_rate(Optimizer(), steps=100)
