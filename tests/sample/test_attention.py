import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_jax.sample import attention
from tests.sample.models import CONFIG

B, P, K, N, H = 12, 5, CONFIG.kv_heads, CONFIG.heads, CONFIG.head_size


def filled(rows, slots, seed):
    """A cache of random numbers in blocks, and the first layer's as plain (rows, K, S, H)."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: attention.empty(CONFIG, rows=rows, slots=slots))
    cache = jax.tree.map(lambda x: rng.normal(size=x.shape).astype("f"), shapes)
    return cache, [np.concatenate(side[0], axis=2) for side in cache]


def by_hand(q, k, v):
    """softmax(q·k/√H)·v of one row in f64: q (N, H), k and v (K, S, H)."""
    k, v = (np.repeat(x.astype("d"), N // K, axis=0) for x in (k, v))
    scores = np.einsum("nh,nsh->ns", q, k) / H**0.5
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.einsum("ns,nsh->nh", weights / weights.sum(axis=1, keepdims=True), v)


@pytest.mark.parametrize("tile", [1, 8])
def test_prefix_and_suffix_merged_equal_attention_over_both(tile):
    rng = np.random.default_rng(tile)
    prefix, prefix_plain = filled(P, 200, 1)
    suffix, _ = filled(B, 100, 2)
    prompt, length = rng.integers(0, P, B), rng.integers(0, 100, B)
    prefix_length = np.array([0, 1, 64, 65, 200])
    q, k, v = (rng.normal(size=(B, 1, n, H)).astype("f") for n in (N, K, K))
    live = np.arange(B) != 3

    @jax.jit
    def run(q, k, v, prefix, suffix):
        tiles = attention.arrange(jnp.asarray(prompt), jnp.asarray(live), P, tile)
        attend = attention.shared_prefix_attention(
            prefix, jnp.asarray(prefix_length), tiles, tile, jnp.asarray(length)
        )
        return attend(q, k, v, suffix, 0)

    out, written = jax.device_get(run(q, k, v, prefix, suffix))
    own = [np.concatenate(side[0], axis=2) for side in written]
    np.testing.assert_array_equal(own[0][np.arange(B), :, length], k[:, 0])
    for row in np.flatnonzero(live):
        shared, new = prefix_length[prompt[row]], length[row] + 1
        keys, values = (
            np.concatenate([plain[prompt[row], :, :shared], mine[row, :, :new]], axis=1)
            for plain, mine in zip(prefix_plain, own, strict=True)
        )
        wanted = by_hand(q[row, 0], keys, values)
        np.testing.assert_allclose(out[row, 0], wanted, rtol=2e-5, atol=2e-6)


def test_unused_blocks_change_no_bit():
    q = np.random.default_rng(0).normal(size=(B, K, 3, H)).astype("f")
    _, (k, v) = filled(B, 512, 3)
    length = np.random.default_rng(0).integers(1, 64, B)

    def over(slots):
        cut = [(k[:, :, a:b], v[:, :, a:b]) for a, b in attention.borders(slots)]
        return jax.jit(attention._over_blocks)(q, length, *zip(*cut, strict=True))

    for a, b in zip(over(64), over(512), strict=True):
        np.testing.assert_array_equal(a, b)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=24, max_size=24),
    st.sampled_from([1, 4]),
)
@settings(max_examples=50, deadline=None)
def test_tiles_hold_every_live_row_once_beside_rows_of_its_prompt(rows, tile):
    prompt, live = map(jnp.array, zip(*rows, strict=True))
    tiles = jax.jit(attention.arrange, static_argnums=(2, 3))(prompt, live, 7, tile)
    places = np.asarray(tiles.place)[np.asarray(live)]
    assert len(set(places)) == len(places)
    assert (places < len(tiles.prompt) * tile).all()
    np.testing.assert_array_equal(tiles.prompt[places // tile], prompt[live])
    assert (np.asarray(tiles.place)[~np.asarray(live)] >= len(tiles.prompt) * tile).all()


def test_borders():
    assert attention.borders(300) == [(0, 64), (64, 128), (128, 256), (256, 512)]
