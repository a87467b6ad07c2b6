import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from codex_jax.sample.engine import kv_cache, prefix_attention
from tests.sample.models import CONFIG

B, P, K, N, H = 12, 5, CONFIG.kv_heads, CONFIG.heads, CONFIG.head_size


def random_cache(rows, positions, seed):
    """A cache of random numbers in blocks, and the first layer's joined, (rows, K, S, H)."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: kv_cache.empty_cache(CONFIG, rows=rows, positions=positions))
    cache = jax.tree.map(lambda x: rng.normal(size=x.shape).astype("f"), shapes)
    return cache, join_blocks(cache)


def join_blocks(cache):
    keys, values = cache[0]
    return [
        np.concatenate(keys, axis=3).swapaxes(2, 3),
        np.concatenate(values, axis=2),
    ]


def by_hand(q, k, v):
    """softmax(q·k/√H)·v of one row in f64: q (N, H), k and v (K, S, H)."""
    k, v = (np.repeat(x.astype("d"), N // K, axis=0) for x in (k, v))
    scores = np.einsum("nh,nsh->ns", q, k) / H**0.5
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.einsum("ns,nsh->nh", weights / weights.sum(axis=1, keepdims=True), v)


@pytest.mark.parametrize("window", [0, 1, 90])
@pytest.mark.parametrize(("tile", "group"), [(1, 4), (8, 1), (8, 4)])
def test_prefix_and_suffix_merged_equal_attention_over_both(tile, group, window):
    rng = np.random.default_rng(tile)
    prefix, prefix_joined = random_cache(P, 200, 1)
    suffix, _ = random_cache(B, 100, 2)
    prompt, length = rng.integers(0, P, B), rng.integers(0, 100, B)
    prefix_length = jnp.array([0, 1, 64, 65, 200])
    q, k, v = (rng.normal(size=(B, 1, n, H)).astype("f") for n in (N, K, K))
    live = np.arange(B) != 3

    @jax.jit
    def run(q, k, v, prefix, suffix):
        tiles = prefix_attention.assign_tiles(
            jnp.asarray(prompt), jnp.asarray(live), prefix_length, tile
        )
        attend = prefix_attention.shared_prefix_attention(
            tiles, group=group, length=jnp.asarray(length)
        )
        settings = {"window": window} if window else {}
        return attend(q, k, v, (prefix[0], suffix[0]), 0, **settings)

    out, written = jax.device_get(run(q, k, v, prefix, suffix))
    own = join_blocks([written])
    np.testing.assert_array_equal(own[0][np.arange(B), :, length], k[:, 0])
    for row in np.flatnonzero(live):
        shared, new = prefix_length[prompt[row]], length[row] + 1
        keys, values = (
            np.concatenate([old[prompt[row], :, :shared], new_keys[row, :, :new]], axis=1)[
                :, -window:
            ]
            for old, new_keys in zip(prefix_joined, own, strict=True)
        )
        expected = by_hand(q[row, 0], keys, values)
        np.testing.assert_allclose(out[row, 0], expected, rtol=2e-5, atol=2e-6)


def assert_same_bits(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def blocks_of(cache, slots):
    """The first layer's blocks that hold `slots` positions."""
    many = len(kv_cache.block_bounds(slots))
    return cache[0].k[:many], cache[0].v[:many]


def test_bounds_leave_at_most_a_half_unused_behind_long_caches():
    ends = [end for _, end in kv_cache.block_bounds(4096)]
    assert ends == [64, 128, 256, 512, 768, 1024, 1536, 2048, 3072, 4096]
    for positions in range(512, 9000, 7):
        assert positions <= kv_cache.block_bounds(positions)[-1][1] <= 1.5 * positions


def test_unused_blocks_change_no_bit():
    """They may be absent, skipped, or read because a neighbor uses them."""
    rng = np.random.default_rng(0)
    q = rng.normal(size=(B, K, 3, H)).astype("f")
    cache, _ = random_cache(B, 512, 3)
    length = rng.integers(1, 64, B)

    def over(slots, length):
        return jax.jit(prefix_attention._attend_to_blocks)(q, length, *blocks_of(cache, slots))

    alone = over(64, length)
    assert_same_bits(alone, over(512, length))
    length[0] = 500
    assert_same_bits([x[1:] for x in alone], [x[1:] for x in over(512, length)])


def test_other_prompts_change_no_bit():
    """A tile's result depends neither on the other prompts nor on its group."""
    rng = np.random.default_rng(1)
    count, tile = 7, 4
    q = rng.normal(size=(count, tile, K, 1, H)).astype("f")
    cache, _ = random_cache(P, 512, 4)
    lengths = np.array([500, 300, 130, 70, 64, 3, 0])
    owner = np.array([4, 3, 2, 1, 0, 0, 0])

    @functools.partial(jax.jit, static_argnums=(3, 4))
    def over(q, owner, lengths, group, slots):
        tiles = prefix_attention.Tiles(
            jnp.arange(count * tile).reshape(count, tile), owner, lengths
        )
        keys, values = jax.tree.map(jnp.asarray, blocks_of(cache, slots))
        part = prefix_attention._attend_to_prompts(
            q.reshape(-1, K, 1, H), tiles, group, keys, values
        )
        return jax.tree.map(lambda x: x.reshape(count, tile, *x.shape[1:]), part)

    everything = over(q, owner, lengths, 4, 512)
    for some in ([0, 3, 5], [1, 2, 4, 6], [3, 4, 5]):
        index = np.array(some + [6] * (count - len(some)))
        slots = int(lengths[index].max())
        part = over(q[index], owner[index], lengths[index], 4, slots)
        assert_same_bits([x[index] for x in everything], part)


@hypothesis.given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=24, max_size=24),
    st.sampled_from([1, 4]),
)
@settings(max_examples=50)
def test_tiles_list_every_live_row_once_with_rows_of_its_prompt(rows, tile):
    prompt, live = map(jnp.array, zip(*rows, strict=True))
    length = jnp.array([5, 0, 70, 3, 200, 70, 1])
    tiles = jax.jit(prefix_attention.assign_tiles, static_argnums=3)(prompt, live, length, tile)
    rows_of = np.asarray(tiles.rows)
    tile_of = np.broadcast_to(np.arange(len(rows_of))[:, None], rows_of.shape)[rows_of < len(rows)]
    listed = rows_of[rows_of < len(rows)]
    np.testing.assert_array_equal(np.sort(listed), np.flatnonzero(live))
    np.testing.assert_array_equal(tiles.prompt[tile_of], prompt[listed])
    np.testing.assert_array_equal(tiles.length[tile_of], length[prompt[listed]])
    assert (np.diff(tiles.length) <= 0).all()


def test_block_bounds():
    assert kv_cache.block_bounds(300) == [(0, 64), (64, 128), (128, 256), (256, 512)]
