"""Attention of one new token a row over a prefix shared by many rows and a suffix of its own.

The prefix of a prompt is stored once and read once a step for all its rows: rows are gathered into
tiles of `tile` rows with one prompt each, and a tile attends as a small matrix (Hydragen, Juravsky
et al. 2024; bifurcated attention, Athiwaratkun et al. 2024). The parts are merged by their
log-sum-exp, in f32.

Keys lie and are read in blocks with fixed borders. A block that a row doesn't use changes no bit
of its result, so neither its neighbours nor the size of a buffer do; one that no row uses isn't
read. Keys have their positions last, so that both products are of matrices as they lie.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from codex_jax.model.quantization import Int8, quantize

_FIRST = 64  # size of the first block; each of the next is as long as all before it

_MASKED = -1e30

Blocks = tuple[Float[Array, "B K _ _"] | Int8, ...]  # int8 with a scale a head and position


class Layer(NamedTuple):
    """A layer's keys and values in blocks, whole arrays, so that nothing is sliced."""

    k: Blocks  # each (B, K, H, S)
    v: Blocks  # each (B, K, S, H)


Cache = tuple[Layer, ...]


def borders(slots: int) -> list[tuple[int, int]]:
    """Where the blocks for at least `slots` positions begin and end: 0, 64, 128, 256, 512, ..."""
    found = [(0, _FIRST)]
    while found[-1][1] < slots:
        found.append((found[-1][1], 2 * found[-1][1]))
    return found


def empty(config, *, rows: int, slots: int, dtype=jnp.float32) -> Cache:
    """A cache of at least `slots` positions."""
    K, H = config.kv_heads, config.head_size
    sizes = [end - start for start, end in borders(slots)]

    def block(size, *shape):
        values = jnp.zeros((rows, K, *shape), dtype)
        return Int8(values, jnp.zeros((rows, K, size))) if dtype == jnp.int8 else values

    def layer() -> Layer:
        keys = tuple(block(size, H, size) for size in sizes)
        return Layer(keys, tuple(block(size, size, H) for size in sizes))

    return tuple(layer() for _ in range(config.layers))


def kept(x: Float[Array, "... H"], dtype) -> Float[Array, "... H"] | Int8:
    """Keys or values as a cache of this dtype keeps them."""
    return quantize(x, -1) if dtype == jnp.int8 else x.astype(dtype)


def _write(blocks: Blocks, position: Int[Array, "B"], new: Float[Array, "B K H"], axis: int):
    """Each row's new key (or value) at its position, which `axis` of the blocks counts."""
    written, start = [], 0
    for block in blocks:
        write = functools.partial(_write_block, position - start, axis)
        dtype = jnp.int8 if isinstance(block, Int8) else block.dtype
        written.append(jax.tree.map(write, block, kept(new, dtype)))
        start += block.shape[axis]
    return tuple(written)


def _write_block(at: Int[Array, "B"], axis: int, block, new):
    """One block, or the scales of one, which lack the axis of H."""
    axis = min(axis, block.ndim - 1)
    ways = {"cpu": _scattered, "default": _selected}
    ways = {where: functools.partial(way, axis=axis) for where, way in ways.items()}
    return jax.lax.platform_dependent(block, at, new, **ways)


def _scattered(block, at: Int[Array, "B"], new, *, axis: int):
    """In place, where a block begins at position 0 of `at`."""
    rows, size = jnp.arange(len(at)), block.shape[axis]
    at = jnp.where((at >= 0) & (at < size), at, size)
    place = block.at[rows, :, at] if axis == 2 else block.at[rows, :, :, at]
    return place.set(new, mode="drop")


def _selected(block, at: Int[Array, "B"], new, *, axis: int):
    """The same over the whole block: TPU would lay a block out anew for a scatter."""
    others = [n for n in range(1, block.ndim) if n != axis]
    here = jnp.expand_dims(at[:, None] == jnp.arange(block.shape[axis]), others)
    return jnp.where(here, jnp.expand_dims(new, axis), block)


class Tiles(NamedTuple):
    """Which rows each tile holds, and which prompt they attend to."""

    row: Int[Array, "Tiles tile"]  # out of range where there is none
    prompt: Int[Array, "Tiles"]
    length: Int[Array, "Tiles"]  # of the prompt, the longest first; 0 for an idle tile


def count_tiles(rows: int, prompts: int, tile: int) -> int:
    """How many tiles hold `rows` rows of at most `prompts` prompts, however they are spread."""
    return min(rows, (rows + min(prompts, rows) * (tile - 1)) // tile)


def arrange(
    prompt: Int[Array, "B"], live: Bool[Array, "B"], length: Int[Array, "P"], tile: int
) -> Tiles:
    """Rows into tiles, those of one prompt together, long prompts first."""
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
    row = jnp.full((tiles, tile), len(prompt))
    row = row.at[index, rank % tile].set(jnp.arange(len(prompt)), mode="drop")
    return Tiles(row, owner, used)


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
    k: Float[Array, "B K H S"],
    v: Float[Array, "B K S H"],
    seen: Bool[Array, "B S"],
) -> Partial:
    """Queries over one block of keys; matrix units want eight rows, so that one isn't a vector."""
    return jax.lax.platform_dependent(q, k, v, seen, cpu=_products, default=_padded)


def _padded(q, k, v, seen) -> Partial:
    queries = q.shape[2]
    part = _products(jnp.pad(q, ((0, 0), (0, 0), (0, -queries % 8), (0, 0))), k, v, seen)
    return jax.tree.map(lambda x: x[:, :, :queries], part)


def _products(q, k, v, seen) -> Partial:
    keys, key_scale = _read(k, q.dtype)
    values, value_scale = _read(v, q.dtype)
    scores = jnp.einsum("BKRH,BKHS->BKRS", q, keys, preferred_element_type=jnp.float32)
    seen = seen[:, None, None, :]
    scores = jnp.where(seen, scores * key_scale * q.shape[-1] ** -0.5, _MASKED)
    peak = scores.max(axis=-1)
    weights = jnp.where(seen, jnp.exp(scores - peak[..., None]), 0.0)
    mixed = jnp.einsum(
        "BKRS,BKSH->BKRH",
        (weights * value_scale).astype(q.dtype),
        values,
        preferred_element_type=jnp.float32,
    )
    return Partial(mixed, peak, weights.sum(axis=-1))


def _read(block, dtype):
    """(numbers to multiply with, what the product is scaled by)."""
    if isinstance(block, Int8):
        return block.values.astype(dtype), block.scale[:, :, None]
    return block.astype(dtype), 1.0


def _over_blocks(q, length: Int[Array, "B"], keys: Blocks, values: Blocks, pick=lambda x: x):
    """`Partial` of each row's queries over the first `length` keys that `pick` takes of a block."""
    so_far, start = None, 0
    for k, v in zip(keys, values, strict=True):

        def more(so_far, k=k, v=v, start=start):
            seen = start + jnp.arange(v.shape[2])[None] < length[:, None]
            part = _block(q, pick(k), pick(v), seen)
            return merge(so_far, part) if start else part

        if start:
            so_far = jax.lax.cond((length > start).any(), more, lambda so_far: so_far, so_far)
        else:
            so_far = more(None)
        start += v.shape[2]
    return so_far


def _over_prompts(
    q: Float[Array, "B K G H"], tiles: Tiles, group: int, keys: Blocks, values: Blocks
) -> Partial:
    """Each row's queries over its prompt's keys, `group` tiles at a time."""
    K, G, H = q.shape[1:]
    spare = -len(tiles.prompt) % group
    row = jnp.pad(tiles.row, ((0, spare), (0, 0)), constant_values=len(q))
    prompt, length = (jnp.pad(x, (0, spare)) for x in tiles[1:])

    def of_group(n, so_far):
        rows, owner, used = (
            jax.lax.dynamic_slice_in_dim(x, n * group, group) for x in (row, prompt, length)
        )
        tiled = q.at[rows].get(mode="clip").swapaxes(1, 2).reshape(group, K, -1, H)
        part = _over_blocks(
            tiled, used, keys, values, lambda block: jax.tree.map(lambda x: x[owner], block)
        )

        def put(whole, new):
            new = new.reshape(group, K, -1, G, *whole.shape[3:]).swapaxes(1, 2)
            return whole.at[rows].set(new, mode="drop")

        return jax.tree.map(put, so_far, part)

    if group >= len(row):
        return of_group(0, _nothing(q.shape))
    groups = -(-(tiles.length > 0).sum() // group)
    return jax.lax.fori_loop(0, groups, of_group, _nothing(q.shape))


def shared_prefix_attention(tiles: Tiles, *, group: int, length: Int[Array, "B"]):
    """`attend` for one new token a row: writes it at `length` of the row's suffix, then attends.

    The cache that it is given is this layer's (prefix, suffix); the prefix is only read, and the
    suffix alone comes back.
    """

    def attend(q, k, v, cache, layer):
        del layer
        prefix, suffix = cache
        B, _, N, H = q.shape
        K = k.shape[2]
        keys = _write(suffix.k, length, k[:, 0], axis=3)
        values = _write(suffix.v, length, v[:, 0], axis=2)
        grouped = q.reshape(B, K, N // K, H)
        shared = _over_prompts(grouped, tiles, group, *prefix)
        own = _over_blocks(grouped, length + 1, keys, values)
        both = merge(shared, own)
        out = (both.mixed / both.total[..., None]).reshape(B, 1, N, H).astype(q.dtype)
        return out, Layer(keys, values)

    return attend


def traced_once(block):
    """`block` over a list of caches, one a layer; layers alike are traced and lowered once.

    XLA inlines them, so the same is compiled; a start from a warm cache takes half as long.
    """

    @jax.jit
    def of_layer(x, params, cache):
        return block(x, params, cache, None)

    def wrapped(x, params, caches, layer):
        x, cache = of_layer(x, params, caches[layer])
        return x, [*caches[:layer], cache, *caches[layer + 1 :]]

    return wrapped
