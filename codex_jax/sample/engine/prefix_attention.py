"""Attention of one new token a row over a prefix shared by many rows and a suffix of its own.

A prompt's prefix is stored once and read once a step for all its rows: rows are grouped into tiles
of `tile` rows with one prompt each, and a tile attends as a small matrix (Hydragen, Juravsky et al.
2024; bifurcated attention, Athiwaratkun et al. 2024). The parts are merged by their log-sum-exp, in
f32. Blocks are merged in the order of their positions, each alike in every cache.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from codex_jax.model.quantization import Int8
from codex_jax.sample.engine import kv_cache
from codex_jax.sample.engine.kv_cache import Block, Blocks

_MASKED = -1e30


class Tiles(NamedTuple):
    """The rows of each tile, and the prompt that they attend to."""

    rows: Int[Array, "Tiles tile"]  # out of range where there is none
    prompt: Int[Array, "Tiles"]
    length: Int[Array, "Tiles"]  # of the prompt, the longest first; 0 for an idle tile


def count_tiles(rows: int, prompts: int, tile: int) -> int:
    """The number of tiles that hold `rows` rows of at most `prompts` prompts in the worst case."""
    return min(rows, (rows + min(prompts, rows) * (tile - 1)) // tile)


def assign_tiles(
    prompt: Int[Array, "B"], live: Bool[Array, "B"], length: Int[Array, "P"], tile: int
) -> Tiles:
    """Tiles of rows with the same prompt, long prompts first."""
    tiles = count_tiles(len(prompt), len(length), tile)
    same = (prompt[:, None] == prompt[None]) & live[None]
    rank = jnp.tril(same, -1).sum(axis=1)
    counts = jnp.zeros_like(length).at[prompt].add(live.astype(jnp.int32))
    per_prompt = -(-counts // tile)
    order = jnp.argsort(-length)
    ends = jnp.zeros_like(length).at[order].set(jnp.cumsum(per_prompt[order]))
    index = (ends - per_prompt)[prompt] + rank // tile
    index = jnp.where(live, index, tiles)
    owner = jnp.zeros(tiles, jnp.int32).at[index].set(prompt, mode="drop")
    used = jnp.zeros(tiles, jnp.int32).at[index].set(length[prompt], mode="drop")
    rows = jnp.full((tiles, tile), len(prompt))
    rows = rows.at[index, rank % tile].set(jnp.arange(len(prompt)), mode="drop")
    return Tiles(rows, owner, used)


class PartialSoftmax(NamedTuple):
    """A softmax-weighted sum over some keys: Σ e^(s - peak)·v, its peak and Σ e^(s - peak)."""

    mixed: Float[Array, "... H"]
    peak: Float[Array, "..."]
    total: Float[Array, "..."]


def empty_partial(shape: tuple[int, ...]) -> PartialSoftmax:
    """A sum over no keys."""
    return PartialSoftmax(jnp.zeros(shape), jnp.full(shape[:-1], _MASKED), jnp.zeros(shape[:-1]))


def merge(a: PartialSoftmax, b: PartialSoftmax) -> PartialSoftmax:
    """The sum over the keys of both; if one has no keys, the other bit for bit."""
    peak = jnp.maximum(a.peak, b.peak)
    left, right = jnp.exp(a.peak - peak), jnp.exp(b.peak - peak)
    mixed = a.mixed * left[..., None] + b.mixed * right[..., None]
    return PartialSoftmax(mixed, peak, a.total * left + b.total * right)


def _attend_to_block(
    q: Float[Array, "B K R H"], k: Block, v: Block, mask: Bool[Array, "B _ S"]
) -> PartialSoftmax:
    """Attends to one block of keys; matrix units want eight rows, so that one isn't a vector."""
    return jax.lax.platform_dependent(q, k, v, mask, cpu=_sum_block, default=_sum_padded_block)


def _sum_padded_block(
    q: Float[Array, "B K R H"], k: Block, v: Block, mask: Bool[Array, "B _ S"]
) -> PartialSoftmax:
    queries = q.shape[2]
    spare = (0, -queries % 8)
    padded = jnp.pad(q, ((0, 0), (0, 0), spare, (0, 0)))
    if mask.shape[1] > 1:
        mask = jnp.pad(mask, ((0, 0), spare, (0, 0)))
    return jax.tree.map(lambda x: x[:, :, :queries], _sum_block(padded, k, v, mask))


def _sum_block(
    q: Float[Array, "B K R H"], k: Block, v: Block, mask: Bool[Array, "B _ S"]
) -> PartialSoftmax:
    keys, key_scale = _split_scale(k, q.dtype)
    values, value_scale = _split_scale(v, q.dtype)
    scores = jnp.einsum("BKRH,BKHS->BKRS", q, keys, preferred_element_type=jnp.float32)
    mask = mask[:, None]
    scores = jnp.where(mask, scores * key_scale * q.shape[-1] ** -0.5, _MASKED)
    peak = scores.max(axis=-1)
    weights = jnp.where(mask, jnp.exp(scores - peak[..., None]), 0.0)
    mixed = jnp.einsum(
        "BKRS,BKSH->BKRH",
        (weights * value_scale).astype(q.dtype),
        values,
        preferred_element_type=jnp.float32,
    )
    return PartialSoftmax(mixed, peak, weights.sum(axis=-1))


def _split_scale(block: Block, dtype: DTypeLike) -> tuple[Array, Array | float]:
    """(values as `dtype`, the scale of a product with them)."""
    if isinstance(block, Int8):
        return block.values.astype(dtype), block.scale[:, :, None]
    return block.astype(dtype), 1.0


def _attend_to_blocks(
    q: Float[Array, "B K R H"],
    length: Int[Array, "B"],
    keys: Blocks,
    values: Blocks,
    select: Callable[[Block], Block] = lambda block: block,
    first: Int[Array, "B _"] | None = None,
) -> PartialSoftmax:
    """Attends to the first `length` keys of each row, from `first` on.

    Args:
      q: Queries.
      length: Keys of each row.
      keys: The keys' blocks.
      values: The values' blocks.
      select: Makes rows of queries (B) of a block's rows.
      first: Each query's first key; None is 0.
    """
    result, start = empty_partial(q.shape), 0
    for k, v in zip(keys, values, strict=True):

        def attend(result, k=k, v=v, start=start):
            positions = start + jnp.arange(v.shape[2])[None, None]
            mask = positions < length[:, None, None]
            mask = mask if first is None else mask & (positions >= first[:, :, None])
            part = _attend_to_block(q, select(k), select(v), mask)
            return merge(result, part) if start else part

        if start:
            result = jax.lax.cond((length > start).any(), attend, lambda result: result, result)
        else:
            result = attend(result)
        start += v.shape[2]
    return result


def _attend_to_prompts(
    q: Float[Array, "B K G H"],
    tiles: Tiles,
    group: int,
    keys: Blocks,
    values: Blocks,
    hidden: Int[Array, "B"] | None = None,
) -> PartialSoftmax:
    """Attends to each row's prompt, `group` tiles at a time.

    Keys up to `hidden` of each row, counted from the prompt's end, are outside its window.
    """
    K, G, H = q.shape[1:]
    spare = -len(tiles.prompt) % group
    tile_rows = jnp.pad(tiles.rows, ((0, spare), (0, 0)), constant_values=len(q))
    prompt, length = (jnp.pad(x, (0, spare)) for x in tiles[1:])

    def attend(n, result):
        rows, owner, used = (
            jax.lax.dynamic_slice_in_dim(x, n * group, group) for x in (tile_rows, prompt, length)
        )
        tiled = q.at[rows].get(mode="clip").swapaxes(1, 2).reshape(group, K, -1, H)
        first = None
        if hidden is not None:
            first = jnp.repeat(used[:, None] + hidden.at[rows].get(mode="clip"), G, axis=1)
        part = _attend_to_blocks(
            tiled, used, keys, values, lambda block: jax.tree.map(lambda x: x[owner], block), first
        )

        def scatter(all_rows, new):
            new = new.reshape(group, K, -1, G, *all_rows.shape[3:]).swapaxes(1, 2)
            return all_rows.at[rows].set(new, mode="drop")

        return jax.tree.map(scatter, result, part)

    if group >= len(tile_rows):
        return attend(0, empty_partial(q.shape))
    groups = -(-(tiles.length > 0).sum() // group)
    return jax.lax.fori_loop(0, groups, attend, empty_partial(q.shape))


def shared_prefix_attention(
    tiles: Tiles, *, group: int, length: Int[Array, "B"]
) -> Callable[..., Any]:
    """The decoder's `attend` for one new token a row, at `length` of the row's suffix.

    The cache passed to it is a layer's (prefix, suffix); it returns the suffix, written to.
    """

    def attend(q, k, v, cache, layer, window=0):
        del layer
        first = length + 1 - window if window else None  # of the suffix's keys; may be negative
        prefix, suffix = cache
        B, _, N, H = q.shape
        K = k.shape[2]
        keys = kv_cache.write_token(suffix.k, length, k[:, 0], axis=3)
        values = kv_cache.write_token(suffix.v, length, v[:, 0], axis=2)
        grouped = q.reshape(B, K, N // K, H)
        shared = _attend_to_prompts(grouped, tiles, group, *prefix, first)
        own_first = None if first is None else first[:, None]
        own = _attend_to_blocks(grouped, length + 1, keys, values, first=own_first)
        both = merge(shared, own)
        out = (both.mixed / both.total[..., None]).reshape(B, 1, N, H).astype(q.dtype)
        return out, kv_cache.Layer(keys, values)

    return attend


def share_layer_trace(block: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `block` for a list of caches, one a layer; equal layers are traced and lowered once.

    XLA inlines them, so the same program is compiled; a start from a warm compilation cache takes
    half as long.
    """

    @jax.jit
    def run_layer(x, params, cache):
        return block(x, params, cache, None)

    def wrapped(x, params, caches, layer):
        x, cache = run_layer(x, params, caches[layer])
        return x, [*caches[:layer], cache, *caches[layer + 1 :]]

    return wrapped
