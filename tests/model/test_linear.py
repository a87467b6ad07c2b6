"""linear: einsum's value and derivatives, without a transposed copy on a CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax.model.linear import linear


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("equation", ["BTD,DF->BTF", "BTD,DNH->BTNH", "BTNH,NHD->BTD"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_value_and_gradients_are_those_of_einsum(equation, dtype, devices, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: devices)
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


def test_one_cpu_copies_nothing_for_the_gradient_of_a_weight(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    x, d_out = jnp.ones((2, 64, 48)), jnp.ones((2, 64, 96))
    weight = jnp.ones((48, 96))

    def compiled(product):
        def gradient(x, d_out):
            return jax.vjp(lambda weight: product("BTD,DF->BTF", x, weight), weight)[1](d_out)

        return jax.jit(gradient).lower(x, d_out).compile().as_text()

    copies = (" copy(", " transpose(")
    assert not any(name in compiled(linear) for name in copies)
    assert any(name in compiled(jnp.einsum) for name in copies)  # what the test looks for exists
