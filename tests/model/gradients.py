"""Gradients of attention, for comparisons of one implementation with another."""

import jax
import jax.numpy as jnp
import numpy as np


def value_and_gradients(attend, inputs, weights):
    """(gradients by q, k and v of the weighted sum of the output, the output)."""

    def total(inputs):
        out, _ = attend(*inputs, None, 0)
        return jnp.sum(out.astype(jnp.float32) * weights), out

    return jax.jit(jax.grad(total, has_aux=True))(inputs)


def assert_close(actual, expected, tolerance):
    """Compares two trees of arrays in f32."""
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(
            a.astype(jnp.float32), b.astype(jnp.float32), atol=tolerance, rtol=tolerance
        ),
        actual,
        expected,
    )
