"""Keys and values in blocks of fixed bounds: 0, 64, 128, 256, 512, 768, 1024, 1536, 2048, ...

A block that a row doesn't use changes no bit of its result, so neither the row's neighbors nor the
cache's capacity do; a block that no row uses isn't read. Keys have their positions last, so that
both products of attention multiply matrices without a transposition.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from codex_jax import model
from codex_jax.model.quantization import Int8, quantize

_FIRST = 64  # size of the first block
_HALVED = 512  # bounds double up to here; from here on there is one more between each two

Block = Float[Array, "_ K _ _"] | Int8  # int8 with a scale for each head and position
Blocks = tuple[Block, ...]


class Layer(NamedTuple):
    """A layer's keys and values. Blocks are separate arrays, so that nothing is sliced."""

    k: Blocks  # each (B, K, H, S)
    v: Blocks  # each (B, K, S, H)


Cache = tuple[Layer, ...]


def block_bounds(positions: int) -> list[tuple[int, int]]:
    """(first, end) of the blocks for at least so many positions."""
    bounds = [(0, _FIRST)]
    while (first := bounds[-1][1]) < positions:
        power = 1 << first.bit_length() - 1  # the largest of two up to `first`
        bounds.append((first, first + (power if first < _HALVED else power // 2)))
    return bounds


def empty_cache(
    config: model.DecoderConfig, *, rows: int, positions: int, dtype: DTypeLike = jnp.float32
) -> Cache:
    """A cache of zeros for at least so many positions."""
    K, H = config.kv_heads, config.head_size
    sizes = [end - first for first, end in block_bounds(positions)]

    def empty_block(size: int, *shape: int) -> Block:
        values = jnp.zeros((rows, K, *shape), dtype)
        return Int8(values, jnp.zeros((rows, K, size))) if dtype == jnp.int8 else values

    def empty_layer() -> Layer:
        keys = tuple(empty_block(size, H, size) for size in sizes)
        return Layer(keys, tuple(empty_block(size, size, H) for size in sizes))

    return tuple(empty_layer() for _ in range(config.layers))


def to_cache_dtype(x: Float[Array, "... H"], dtype: DTypeLike) -> Float[Array, "... H"] | Int8:
    """Keys or values as a cache of this dtype stores them."""
    return quantize(x, -1) if dtype == jnp.int8 else x.astype(dtype)


def write_token(
    blocks: Blocks, position: Int[Array, "B"], new: Float[Array, "B K H"], axis: int
) -> Blocks:
    """Blocks with each row's new key (or value) at its position along `axis`."""
    written: list[Block] = []
    first = 0
    for block in blocks:
        write = functools.partial(_write_block, position - first, axis)
        dtype = jnp.int8 if isinstance(block, Int8) else block.dtype
        written.append(jax.tree.map(write, block, to_cache_dtype(new, dtype)))
        first += block.shape[axis]
    return tuple(written)


def write_prompt(blocks: Blocks, slot: Int[Array, ""], new: Array | Int8, axis: int) -> Blocks:
    """Blocks with a prompt's keys (or values) in row `slot`; `axis` counts positions."""

    def write(block, new, first, end):
        new = jax.lax.slice_in_dim(new[None], first, end, axis=min(axis, block.ndim - 1))
        return jax.lax.dynamic_update_slice_in_dim(block, new, slot, axis=0)

    bounds = block_bounds(new.shape[axis - 1])
    written = [
        jax.tree.map(functools.partial(write, first=first, end=end), block, new)
        for block, (first, end) in zip(blocks, bounds, strict=False)
    ]
    return (*written, *blocks[len(written) :])


def _write_block(position: Int[Array, "B"], axis: int, block: Array, new: Array) -> Array:
    """Writes one block, or its scales, which lack the axis of H."""
    axis = min(axis, block.ndim - 1)
    writers = {
        "cpu": functools.partial(_write_by_scatter, axis=axis),
        "default": functools.partial(_write_by_select, axis=axis),
    }
    return jax.lax.platform_dependent(block, position, new, **writers)


def _write_by_scatter(block: Array, position: Int[Array, "B"], new: Array, *, axis: int) -> Array:
    """Writes in place, for a block that begins at position 0; other positions are dropped."""
    rows, size = jnp.arange(len(position)), block.shape[axis]
    position = jnp.where((position >= 0) & (position < size), position, size)
    target = block.at[rows, :, position] if axis == 2 else block.at[rows, :, :, position]
    return target.set(new, mode="drop")


def _write_by_select(block: Array, position: Int[Array, "B"], new: Array, *, axis: int) -> Array:
    """Writes by a select over the block: TPU would change a block's layout for a scatter."""
    others = [n for n in range(1, block.ndim) if n != axis]
    is_target = position[:, None] == jnp.arange(block.shape[axis])
    return jnp.where(jnp.expand_dims(is_target, others), jnp.expand_dims(new, axis), block)
