"""The kernel, interpreted on the CPU, against plain packed attention."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax.model.attention.core import packed_attention
from codex_jax.model.attention.splash import fits, splash_attention


@pytest.mark.parametrize("head_size", [128, 80])
def test_the_kernel_equals_plain_attention_on_a_mesh(head_size):
    mesh = jax.make_mesh((2, 2), ("fsdp", "tensor"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    keys = jax.random.split(jax.random.key(0), 3)
    q = jax.random.normal(keys[0], (2, 256, 4, head_size))
    k, v = (jax.random.normal(key, (2, 256, 2, head_size)) for key in keys[1:])
    segments = jnp.array([[1] * 100 + [2] * 156, [1] * 256])

    def out_and_gradient(attend):
        def total(q):
            out, _ = attend(q, k, v, None, 0)
            return jnp.sum(out**2), out

        return jax.jit(jax.grad(total, has_aux=True))(q)

    splash = splash_attention(
        segments, mesh=mesh, rows=("fsdp",), heads=("tensor",), interpret=True
    )
    actual, expected = out_and_gradient(splash), out_and_gradient(packed_attention(segments))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), actual, expected)


@pytest.mark.parametrize(("length", "expected"), [(2048, True), (200, False)])
def test_fits(length, expected):
    assert fits(length) is expected
