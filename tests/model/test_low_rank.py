"""Low-rank updates: the product, its gradients, and none of the frozen weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax.model.low_rank import LowRank
from codex_jax.model.quantization import quantized_einsum

# Equation → shapes of x, weight, and the weight's number of input axes.
CASES = {
    "BTD,DNH->BTNH": ((2, 3, 8), (8, 2, 5), 1),
    "BTAH,AHD->BTD": ((2, 3, 2, 5), (2, 5, 8), 2),
    "BTF,FD->BTD": ((2, 3, 6), (6, 8), 1),
}


@pytest.fixture(params=CASES)
def case(request):
    """(equation, x, weight with random updates, the same sum as one array)."""
    x_shape, shape, inputs = CASES[request.param]
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = (x_shape, shape, (*shape[:inputs], 3), (3, *shape[inputs:]))
    draw = [jax.random.normal(key, s) for key, s in zip(keys, shapes, strict=True)]
    x, weight, down, up = draw
    merged = weight + 0.5 * jnp.tensordot(down, up, 1)
    return request.param, x, LowRank(weight, down, up, 0.5), merged


def test_the_product_is_that_of_the_sum(case):
    equation, x, weight, merged = case
    expected = jnp.einsum(equation, x, merged)
    np.testing.assert_allclose(
        quantized_einsum(equation, x, weight), expected, rtol=1e-4, atol=1e-5
    )


def test_gradients_are_those_of_the_sum_and_the_weight_s_is_zero(case):
    equation, x, weight, merged = case

    def loss(x, weight):
        return jnp.sin(quantized_einsum(equation, x, weight)).sum()

    d_x, d_weight = jax.grad(loss, (0, 1))(x, weight)
    expected_x, d_merged = jax.grad(loss, (0, 1))(x, merged)
    np.testing.assert_allclose(d_x, expected_x, rtol=1e-3, atol=1e-4)
    assert not d_weight.weight.any()
    inputs = weight.down.ndim - 1
    flat = d_merged.reshape(np.prod(d_merged.shape[:inputs]), -1)
    up, down = weight.up.reshape(3, -1), weight.down.reshape(-1, 3)
    np.testing.assert_allclose(
        d_weight.down.reshape(-1, 3), 0.5 * flat @ up.T, rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(
        d_weight.up.reshape(3, -1), 0.5 * down.T @ flat, rtol=1e-3, atol=1e-4
    )


def test_without_an_update_the_product_is_the_weight_s_bit_for_bit(case):
    equation, x, weight, _ = case
    zero = LowRank(weight.weight, weight.down, jnp.zeros_like(weight.up), weight.scale)
    expected = quantized_einsum(equation, x, weight.weight)
    np.testing.assert_array_equal(quantized_einsum(equation, x, zero), expected)


def test_it_computes_in_x_s_dtype(case):
    equation, x, weight, _ = case
    assert quantized_einsum(equation, x.astype(jnp.bfloat16), weight).dtype == jnp.bfloat16
