"""Attention by tiles of queries against `packed_attention`, value and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax.model.attention import tiled
from codex_jax.model.attention.core import packed_attention


def out_and_gradients(attend, *qkv):
    def total(q, k, v):
        out, _ = attend(q, k, v, None, 0)
        return jnp.sum(out**2), out

    return jax.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))(*qkv)


@pytest.mark.parametrize(("length", "tile", "heads"), [(24, 8, 2), (23, 8, 4), (5, 8, 1)])
def test_value_and_gradients_equal_packed_attention(monkeypatch, length, tile, heads):
    monkeypatch.setattr(tiled, "_MIN_TILE", tile)
    keys = jax.random.split(jax.random.key(length), 4)
    q = jax.random.normal(keys[0], (2, length, 4, 8))
    k, v = (jax.random.normal(key, (2, length, heads, 8)) for key in keys[1:3])
    segments = jnp.sort(jax.random.randint(keys[3], (2, length), 0, 3))  # 0 is padding
    result = out_and_gradients(tiled.tiled_attention(segments), q, k, v)
    expected = out_and_gradients(packed_attention(segments), q, k, v)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), result, expected)


@pytest.mark.parametrize(("length", "count"), [(100, 1), (512, 4), (600, 5), (32_768, 16)])
def test_tiles_cover_a_row_and_stay_few(length, count):
    tiles = tiled._tiles(length)
    assert len(tiles) == count
    assert [n for tile in tiles for n in range(tile.start, tile.stop)] == list(range(length))
