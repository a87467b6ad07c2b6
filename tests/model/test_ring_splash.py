"""A ring of the kernel, interpreted on eight CPU devices, against plain packed attention on one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import sharding
from codex_jax.model.attention.core import packed_attention
from codex_jax.model.attention.ring import zigzag
from codex_jax.model.attention.ring_splash import fits, ring_splash_attention
from codex_jax.sharding import MeshShape
from tests.model.gradients import assert_close, value_and_gradients


@pytest.mark.parametrize(
    ("shape", "T", "dtype", "tolerance"),
    [
        (MeshShape(context=4, tensor=2), 1024, jnp.float32, 2e-5),
        (MeshShape(fsdp=2, context=2, tensor=2), 512, jnp.float32, 2e-5),
        (MeshShape(replica=2, fsdp=2, context=2), 512, jnp.bfloat16, 0.06),
    ],
    ids=str,
)
def test_value_and_gradients_equal_plain_ones(shape, T, dtype, tolerance):
    mesh = sharding.make_mesh(shape)
    keys = jax.random.split(jax.random.key(0), 4)
    sizes = [(4, T, 4, 16), (4, T, 2, 16), (4, T, 2, 16), (4, T, 4, 16)]
    *inputs, weights = (jax.random.normal(k, s, dtype) for k, s in zip(keys, sizes, strict=True))
    # One document, four that begin within a part, one that ends with padding, one of padding.
    segments = np.ones((4, T), np.int32)
    segments[1] += np.searchsorted([T // 5, T // 3, T - 70], np.arange(T), side="right")
    segments[2, T - T // 3 :] = 0
    segments[3] = 0
    order = zigzag(T, mesh.shape["context"])
    expected = value_and_gradients(packed_attention(jnp.asarray(segments)), inputs, weights)
    ring = ring_splash_attention(
        jnp.asarray(segments[:, order]),
        mesh=mesh,
        rows=("replica", "fsdp"),
        columns="context",
        heads=("tensor",),
        interpret=True,
    )
    actual = value_and_gradients(ring, [x[:, order] for x in inputs], weights[:, order])
    actual = jax.tree.map(lambda x: x[:, np.argsort(order)], actual)
    assert_close(actual, expected, tolerance)


@pytest.mark.parametrize(
    ("length", "devices", "expected"), [(32768, 8, True), (2048, 8, True), (1024, 8, False)]
)
def test_parts_must_be_multiples_of_the_lanes(length, devices, expected):
    assert fits(length, devices) is expected
