"""linear: einsum's value and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax.model.linear import linear


@pytest.mark.parametrize("equation", ["BTD,DF->BTF", "BTD,DNH->BTNH", "BTNH,NHD->BTD"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_value_and_gradients_are_those_of_einsum(equation, dtype):
    sizes = {"B": 2, "T": 5, "D": 6, "F": 7, "N": 3, "H": 4}
    axes = equation.split("->")[0].split(",")
    arrays = [
        jax.random.normal(jax.random.key(n), [sizes[letter] for letter in letters], dtype)
        for n, letters in enumerate(axes)
    ]

    def loss(product):
        return lambda *arrays: jnp.sum(jnp.sin(product(equation, *arrays).astype(jnp.float32)))

    result, expected = (
        jax.value_and_grad(loss(product), argnums=(0, 1))(*arrays)
        for product in (linear, jnp.einsum)
    )
    assert [g.dtype for g in result[1]] == [dtype, dtype]
    for a, b in zip(*map(jax.tree.leaves, (result, expected)), strict=True):
        reference = np.asarray(b, np.float32)
        # Sums of bf16 round as the compiler orders them: a hundredth of the largest.
        rounding = 1e-5 if dtype == jnp.float32 else 1e-2 * np.abs(reference).max()
        np.testing.assert_allclose(np.asarray(a, np.float32), reference, rtol=1e-2, atol=rounding)
