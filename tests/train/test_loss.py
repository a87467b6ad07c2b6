"""The fused cross-entropy against the plain one, value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax.train.loss import cross_entropy_sum

V, D, B, T = 11, 8, 2, 6


@pytest.fixture
def inputs():
    keys = jax.random.split(jax.random.key(0), 4)
    hidden = jax.random.normal(keys[0], (B, T, D))
    table = jax.random.normal(keys[1], (16, D))  # rows 11..15 are padding
    targets = jax.random.randint(keys[2], (B, T), 0, V)
    weights = jax.random.uniform(keys[3], (B, T)) * (jnp.arange(T) % 4 > 0)
    return hidden, table, targets, weights


def cross_entropy(hidden, table, targets, weights, z_loss):
    logits = hidden @ table[:V].T
    log_z = jax.nn.logsumexp(logits, axis=-1)
    target_logits = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jnp.sum(weights * (log_z - target_logits + z_loss * log_z**2))


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("z_loss", [0.0, 0.1])
def test_value_and_gradients_equal_the_plain_ones(inputs, chunks, z_loss):
    hidden, table, targets, weights = inputs
    fused = jax.value_and_grad(cross_entropy_sum, argnums=(0, 1))(
        hidden, table, targets, weights, V, chunks, z_loss
    )
    expected = jax.value_and_grad(cross_entropy, argnums=(0, 1))(
        hidden, table, targets, weights, z_loss
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), fused, expected
    )


def test_uniform_logits_cost_log_v(inputs):
    hidden, _, targets, weights = inputs
    loss = cross_entropy_sum(hidden, jnp.zeros((16, D)), targets, weights, V)
    np.testing.assert_allclose(loss, weights.sum() * np.log(V), rtol=1e-6)


def test_the_outer_gradient_scales(inputs):
    hidden, table, targets, weights = inputs

    def scaled(hidden, factor):
        return factor * cross_entropy_sum(hidden, table, targets, weights, V)

    once, thrice = (jax.grad(scaled)(hidden, f) for f in (1.0, 3.0))
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-6)
