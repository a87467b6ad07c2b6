"""The ring on eight devices against plain packed attention on one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import sharding
from codex_jax.model.attention.core import packed_attention
from codex_jax.model.attention.ring import ring_attention, zigzag
from codex_jax.sharding import MeshShape
from tests.model.gradients import assert_close, value_and_gradients


def test_zigzag_gives_every_device_an_early_and_a_late_part():
    np.testing.assert_array_equal(zigzag(8, 2), [0, 1, 6, 7, 2, 3, 4, 5])
    np.testing.assert_array_equal(zigzag(6, 3), [0, 5, 1, 4, 2, 3])
    assert sorted(zigzag(96, 4)) == list(range(96))


def segment_ids(B, T):
    """Rows of 1 to 5 segments of unequal length, the last one padding."""
    rng = np.random.default_rng(0)
    starts = (rng.random((B, T)) < 3 / T).cumsum(axis=1) + 1
    starts[:, T - rng.integers(1, T // 4) :] = 0
    return starts.astype(np.int32)


@pytest.mark.parametrize(
    ("shape", "T", "dtype", "tolerance"),
    [
        (MeshShape(context=8), 1024, jnp.float32, 2e-5),  # several blocks a device
        (MeshShape(replica=2, fsdp=1, context=2, tensor=2), 60, jnp.float32, 2e-5),
        (MeshShape(context=4, tensor=2), 24, jnp.bfloat16, 0.05),
    ],
    ids=str,
)
def test_value_and_gradients_equal_plain_ones(shape, T, dtype, tolerance, monkeypatch):
    monkeypatch.setattr("codex_jax.model.attention.ring._BLOCK", 32)
    mesh = sharding.make_mesh(shape)
    keys = jax.random.split(jax.random.key(0), 4)
    sizes = [(2, T, 4, 8), (2, T, 2, 8), (2, T, 2, 8), (2, T, 4, 8)]
    *inputs, weights = (jax.random.normal(k, s, dtype) for k, s in zip(keys, sizes, strict=True))
    segments, order = segment_ids(2, T), zigzag(T, mesh.shape["context"])
    expected = value_and_gradients(packed_attention(jnp.asarray(segments)), inputs, weights)
    ring = ring_attention(
        jnp.asarray(segments[:, order]),
        mesh=mesh,
        rows=("replica", "fsdp"),
        columns="context",
        heads=("tensor",),
    )
    dealt = [x[:, order] for x in inputs]
    actual = value_and_gradients(ring, dealt, weights[:, order])
    back = np.argsort(order)
    actual = jax.tree.map(lambda x: x[:, back], actual)
    assert_close(actual, expected, tolerance)
