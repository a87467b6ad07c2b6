"""Attention of one new token a row over a prefix shared by many rows and a suffix of its own.

The prefix of a prompt is stored once and read once a step for all its rows: rows are gathered into
tiles of `tile` rows with one prompt each, and a tile attends as a small matrix (Hydragen, Juravsky
et al. 2024; bifurcated attention, Athiwaratkun et al. 2024). The parts are merged by their
log-sum-exp, in f32.

Keys are read in blocks of fixed size, up to the longest in use. A block that a row doesn't use
changes no bit of its result, so neither neighbours nor the size of a buffer do.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

BLOCK = 64

_MASKED = -1e30


class Cache(NamedTuple):
    """Keys and values, a tuple of one array a layer: nothing is sliced out of a stack.

    Heads come before positions, so that a head's keys are a matrix as they lie.
    """

    k: tuple[Float[Array, "B K S H"], ...]
    v: tuple[Float[Array, "B K S H"], ...]


def empty(config, *, rows: int, slots: int, dtype=jnp.float32) -> Cache:
    """A cache of `slots` positions, rounded up to blocks."""
    shape = (rows, config.kv_heads, -(-slots // BLOCK) * BLOCK, config.head_size)
    return Cache(*(tuple(jnp.zeros(shape, dtype) for _ in range(config.layers)) for _ in "kv"))


class Tiles(NamedTuple):
    """Which place among the tiles each row has, and which prompt each tile attends to."""

    place: Int[Array, "B"]  # tile · tile size + row of the tile; out of range where idle
    prompt: Int[Array, "Tiles"]


def count_tiles(rows: int, prompts: int, tile: int) -> int:
    """How many tiles hold `rows` rows of at most `prompts` prompts, however they are spread."""
    return min(rows, (rows + min(prompts, rows) * (tile - 1)) // tile)


def arrange(prompt: Int[Array, "B"], live: Bool[Array, "B"], prompts: int, tile: int) -> Tiles:
    """Rows into tiles, those of one prompt together."""
    rows = len(prompt)
    tiles = count_tiles(rows, prompts, tile)
    same = (prompt[:, None] == prompt[None]) & live[None]
    rank = jnp.tril(same, -1).sum(axis=1)
    counts = jnp.zeros(prompts, jnp.int32).at[prompt].add(live.astype(jnp.int32))
    per_prompt = -(-counts // tile)
    first = jnp.cumsum(per_prompt) - per_prompt
    index = first[prompt] + rank // tile
    index = jnp.where(live, index, tiles)
    owner = jnp.zeros(tiles, jnp.int32).at[index].set(prompt, mode="drop")
    return Tiles(index * tile + rank % tile, owner)


class Partial(NamedTuple):
    """A softmax-weighted sum in the making: Σ e^(s - peak)·v, its peak and Σ e^(s - peak)."""

    mixed: Float[Array, "... H"]
    peak: Float[Array, "..."]
    total: Float[Array, "..."]


def _nothing(shape: tuple[int, ...]) -> Partial:
    return Partial(jnp.zeros(shape), jnp.full(shape[:-1], _MASKED), jnp.zeros(shape[:-1]))


def merge(a: Partial, b: Partial) -> Partial:
    """Both together; with a part that saw nothing, the other bit for bit."""
    peak = jnp.maximum(a.peak, b.peak)
    left, right = jnp.exp(a.peak - peak), jnp.exp(b.peak - peak)
    mixed = a.mixed * left[..., None] + b.mixed * right[..., None]
    return Partial(mixed, peak, a.total * left + b.total * right)


def _block(
    q: Float[Array, "B K R H"],
    k: Float[Array, "B K S H"],
    v: Float[Array, "B K S H"],
    seen: Bool[Array, "B S"],
) -> Partial:
    """Queries over one block of keys."""
    scores = jnp.einsum("BKRH,BKSH->BKRS", q, k, preferred_element_type=jnp.float32)
    seen = seen[:, None, None, :]
    scores = jnp.where(seen, scores * q.shape[-1] ** -0.5, _MASKED)
    peak = scores.max(axis=-1)
    weights = jnp.where(seen, jnp.exp(scores - peak[..., None]), 0.0)
    mixed = jnp.einsum(
        "BKRS,BKSH->BKRH", weights.astype(v.dtype), v, preferred_element_type=jnp.float32
    )
    return Partial(mixed, peak, weights.sum(axis=-1))


def _over_blocks(q, length, keys: Array, values: Array) -> Partial:
    """Queries over the first `length` of their keys, block by block."""
    so_far = _nothing(q.shape)
    for start in range(0, keys.shape[2], BLOCK):
        seen = start + jnp.arange(BLOCK)[None] < length[:, None]
        block = slice(start, start + BLOCK)
        so_far = merge(so_far, _block(q, keys[:, :, block], values[:, :, block], seen))
    return so_far


def shared_prefix_attention(
    prefix: Cache, prefix_length: Int[Array, "P"], tiles: Tiles, tile: int, length: Int[Array, "B"]
):
    """`attend` for one new token a row: writes it at `length` of the row's suffix, then attends.

    The cache that the decoder carries is the suffix; the prefix is only read.
    """
    rows = jnp.arange(len(length))
    tile_length = prefix_length[tiles.prompt]

    def of_prefix(q, keys, values):
        """Rows into tiles, over the tiles' prompts, and back."""
        _, K, G, H = q.shape
        flat = jnp.zeros((len(tiles.prompt) * tile, K, G, H), q.dtype)
        flat = flat.at[tiles.place].set(q, mode="drop")
        tiled = flat.reshape(-1, tile, K, G, H).swapaxes(1, 2).reshape(-1, K, tile * G, H)
        part = _over_blocks(tiled, tile_length, keys[tiles.prompt], values[tiles.prompt])

        def of_rows(x):
            x = x.reshape(-1, K, tile, G, *x.shape[3:]).swapaxes(1, 2)
            return x.reshape(-1, *x.shape[2:]).at[tiles.place].get(mode="clip")

        return jax.tree.map(of_rows, part)

    def attend(q, k, v, suffix, layer):
        B, _, N, H = q.shape
        K = k.shape[2]
        keys = suffix.k[layer].at[rows, :, length].set(k[:, 0].astype(suffix.k[layer].dtype))
        values = suffix.v[layer].at[rows, :, length].set(v[:, 0].astype(suffix.v[layer].dtype))
        grouped = q.reshape(B, K, N // K, H)
        shared = of_prefix(grouped, prefix.k[layer], prefix.v[layer])
        own = _over_blocks(grouped, length + 1, keys, values)
        both = merge(shared, own)
        out = (both.mixed / both.total[..., None]).reshape(B, 1, N, H).astype(q.dtype)
        cache = Cache(
            *(
                (*old[:layer], new, *old[layer + 1 :])
                for old, new in zip(suffix, (keys, values), strict=True)
            )
        )
        return out, cache

    return attend
