"""Attention of one new token a row over the row's own keys on TPU, as one Mosaic kernel a layer.

A step of the grid holds a tile of rows and a block of positions, of all key heads. It merges them
into an online softmax (FlashAttention, Dao et al. 2022) that begins with the new token, and sends
the few positions around the new token back to the cache, which is written in place. Blocks behind
the longest row of a tile aren't read.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from codex_jax.model.quantization import Int8

_BLOCK = 128  # positions read at a time
_TILE_BYTES = 32  # of the memory's tiles along positions
_BLOCK_BYTES = 3 << 19  # of the keys of a tile of rows' block
_MASKED = -1e30


class _Fields(NamedTuple):
    """Refs, arrays or specs of values and, of an int8 cache, their scales; else None."""

    values: Any
    scale: Any = None


class _Cache(NamedTuple):
    """A kernel's refs to the keys, or to the values.

    Attributes:
      new: the new token's: (R, K, 1, H), and scales (R, K, 128) that are equal along the last axis.
      block: a tile's block: (R, K, 128, H), and scales (R, K, 128).
      target: the cache in HBM: (B, K, S, H), and scales (B, K, S).
      window: what is sent to it: (R, K, window, H), and scales (R, K, 128).
      semaphores: of values and of scales.
    """

    new: _Fields
    block: _Fields
    target: _Fields
    window: _Fields
    semaphores: Any


def _dot(equation: str, a: Array, b: Array) -> Array:
    return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)


def _window(dtype: DTypeLike) -> int:
    """Positions written back at a time."""
    return _TILE_BYTES // jnp.dtype(dtype).itemsize


def _scaled(x: Array, scale: Any) -> Array:
    """Scores or weights (R, K, G, 128) times the scales of 128 positions, where there are any."""
    return x if scale is None else x * scale[...][:, :, None]


def _write_new_token(length, cache: _Cache, *, wait: bool) -> None:
    """Starts, or awaits, the copies of the windows that hold the new keys (or values)."""
    tile, block = pl.program_id(0), pl.program_id(1)
    rows, _, size, _ = cache.window.values.shape
    first = pl.multiple_of(block * _BLOCK, _BLOCK)
    for row in range(rows):
        position = length[tile * rows + row]

        @pl.when(jax.lax.div(position, _BLOCK) == block)
        def _(row=row, position=position):
            start = pl.multiple_of(jax.lax.div(position, size) * size, size)
            places = [(slice(None), pl.ds(start, size)), (slice(None), pl.ds(first, _BLOCK))]
            copies = [
                pltpu.make_async_copy(
                    window.at[row], target.at[(tile * rows + row, *place)], cache.semaphores.at[n]
                )
                for n, (window, target, place) in enumerate(
                    zip(cache.window, cache.target, places, strict=True)
                )
                if target is not None
            ]
            if not wait:
                _fill_window(cache, row, position, start, first)
            for copy in copies:
                copy.wait() if wait else copy.start()


def _fill_window(cache: _Cache, row: int, position, start, first) -> None:
    """Writes a row's new token between the tokens around it, beginning with `start`."""
    window, new, block = cache.window, cache.new, cache.block
    size = window.values.shape[2]
    at = pl.ds(pl.multiple_of(start - first, size), size)
    old = block.values[row, :, at, :].astype(jnp.float32)
    is_new = jax.lax.broadcasted_iota(jnp.int32, old.shape, 1) == position - start
    written = jnp.where(is_new, new.values[row].astype(jnp.float32), old)
    if window.scale is None:
        window.values[row] = written.astype(window.values.dtype)
        return
    window.values[row] = written.astype(jnp.int32).astype(jnp.int8)
    is_new = jax.lax.broadcasted_iota(jnp.int32, window.scale.shape[1:], 1) == position - first
    window.scale[row] = jnp.where(is_new, new.scale[row], block.scale[row])


def _kernel(length, last, count, q, new, blocks, partial, targets, state, windows, semaphores):
    out, peak_out, total_out = partial
    mixed, peak, total = state
    caches = [
        _Cache(*refs, semaphores.at[n])
        for n, refs in enumerate(zip(new, blocks, targets, windows, strict=True))
    ]
    tile, block = pl.program_id(0), pl.program_id(1)
    R, K, G, H = q.shape
    for cache in caches:
        _write_new_token(length, cache, wait=False)

    @pl.when(block == 0)
    def _():
        new_key, new_value = (_new_token(cache.new) for cache in caches)
        product = q[...].astype(jnp.float32) * new_key
        peak[...] = jnp.broadcast_to(product.sum(axis=-1, keepdims=True), peak.shape)
        total[...] = jnp.ones_like(total)
        mixed[...] = jnp.broadcast_to(new_value, mixed.shape)

    @pl.when(block <= last[tile])
    def _():
        k, v = (cache.block for cache in caches)
        keys, values = (x.values[...].astype(q.dtype).reshape(R * K, _BLOCK, H) for x in (k, v))
        scores = _dot("bgh,bsh->bgs", q[...].reshape(R * K, G, H), keys).reshape(R, K, G, _BLOCK)
        position = block * _BLOCK + jax.lax.broadcasted_iota(jnp.int32, scores.shape, 3)
        scores = jnp.where(position < count[...], _scaled(scores, k.scale), _MASKED)
        new_peak = jnp.maximum(peak[...], scores.max(axis=-1, keepdims=True))
        weights, shrink = jnp.exp(scores - new_peak), jnp.exp(peak[...] - new_peak)
        scaled = _scaled(weights, v.scale).astype(q.dtype).reshape(R * K, G, _BLOCK)
        mix = _dot("bgs,bsh->bgh", scaled, values)
        mixed[...] = mixed[...] * shrink[..., :1] + mix.reshape(R, K, G, H)
        total[...] = total[...] * shrink + weights.sum(axis=-1, keepdims=True)
        peak[...] = new_peak

    @pl.when(block == pl.num_programs(1) - 1)
    def _():
        out[...], peak_out[...], total_out[...] = mixed[...], peak[...], total[...]

    for cache in caches:
        _write_new_token(length, cache, wait=True)


def _new_token(new: _Fields) -> Array:
    """The new token's keys or values as the next step reads them, (R, K, 1, H) in f32."""
    values = new.values[...].astype(jnp.float32)
    return values if new.scale is None else values * new.scale[...][:, :, None, :1]


def _tile_rows(rows: int, row_bytes: int) -> int:
    """Rows of a tile: a divisor of `rows` whose block of keys fits."""
    sizes = (n for n in (2, 4, 8) if rows % n == 0 and n * row_bytes <= _BLOCK_BYTES)
    return max(sizes, default=1)


def _cost(q: Array, keys: _Fields) -> pl.CostEstimate:
    """FLOPs and bytes if every row is at its longest."""
    B, K, G, H = q.shape
    S = keys.values.shape[2]
    tokens = math.prod((B, K, G + 2, H)) * q.dtype.itemsize + B * _BLOCK * 4
    results = math.prod((B, K, G, H + 2 * _BLOCK)) * 4
    position = H * keys.values.dtype.itemsize
    written = _window(keys.values.dtype) * position
    if keys.scale is not None:
        position, written = position + 4, written + _BLOCK * 4
    return pl.CostEstimate(
        flops=4 * math.prod((B, K, G, S, H)),
        transcendentals=math.prod((B, K, G, S)),
        bytes_accessed=2 * B * K * (S * position + written) + tokens + results,
    )


def _new_fields(new: Array | Int8) -> _Fields:
    """The new token's keys or values as the kernel takes them."""
    if not isinstance(new, Int8):
        return _Fields(new[:, :, None])
    scale = jnp.broadcast_to(new.scale[..., None], (*new.scale.shape, _BLOCK))
    return _Fields(new.values[:, :, None].astype(jnp.float32), scale)


def _map(build: Any, fields: _Fields) -> _Fields:
    """build(array) of the values and of the scales, where there are any."""
    return _Fields(*(None if x is None else build(x) for x in fields))


def attend_and_write(
    q: Float[Array, "B K G H"],
    k: Float[Array, "B K H"] | Int8,
    v: Float[Array, "B K H"] | Int8,
    keys: Float[Array, "B K S H"] | Int8,
    values: Float[Array, "B K S H"] | Int8,
    length: Int[Array, "B"],
    *,
    interpret: bool = False,
) -> tuple[Array, Array, Array, Any, Any]:
    """Returns (Σ e^(s - peak)·v, peak, Σ e^(s - peak)) in f32, and the caches with the new token.

    Args:
      q: Queries of the new token, scaled; G heads share a key head.
      k: The new token's keys, quantized as the cache.
      v: Its values, likewise.
      keys: The rows' keys; overwritten. S is a multiple of 128, as is H.
      values: Likewise.
      length: Positions of each row so far.
      interpret: Run by the interpreter, as on a CPU.
    """
    B, K, G, H = q.shape
    caches = [_Fields(*x) if isinstance(x, Int8) else _Fields(x) for x in (keys, values)]
    S, dtype = caches[0].values.shape[2], caches[0].values.dtype
    R, size = _tile_rows(B, K * _BLOCK * H * dtype.itemsize), _window(dtype)
    last = length.reshape(B // R, R).max(axis=1) // _BLOCK
    count = jnp.broadcast_to(length[:, None, None, None], (B, 1, 1, _BLOCK))
    new = [_new_fields(x) for x in (k, v)]

    def rows(x):
        shape = (R, *x.shape[1:])
        return pl.BlockSpec(shape, lambda tile, *_: (tile, *[0] * (len(shape) - 1)))

    def block(x):
        after = (0,) * (x.ndim - 3)
        return pl.BlockSpec(
            (R, K, _BLOCK, *x.shape[3:]),
            lambda tile, block, _, last: (tile, 0, jnp.minimum(block, last[tile]), *after),
        )

    def window(x):
        shape = (R, K, size, H) if x.ndim == 4 else (R, K, _BLOCK)
        return pltpu.VMEM(shape, x.dtype)

    partial = [jax.ShapeDtypeStruct((B, K, G, n), jnp.float32) for n in (H, _BLOCK, _BLOCK)]
    anywhere = [_map(lambda _: pl.BlockSpec(memory_space=pl.ANY), x) for x in caches]
    grid = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=2,
        grid=(B // R, S // _BLOCK),
        in_specs=[
            rows(count),
            rows(q),
            [_map(rows, x) for x in new],
            [_map(block, x) for x in caches],
        ],
        out_specs=[[rows(x) for x in partial], anywhere],
        scratch_shapes=[
            [pltpu.VMEM((R, *x.shape[1:]), jnp.float32) for x in partial],
            [_map(window, x) for x in caches],
            pltpu.SemaphoreType.DMA((2, 2)),
        ],
    )
    arguments = (length, last, count, q, new, caches)
    arrays = len(jax.tree.leaves(caches))
    first = len(jax.tree.leaves(arguments)) - arrays
    partial, written = pl.pallas_call(
        _kernel,
        grid_spec=grid,
        out_shape=[
            partial,
            [_map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), x) for x in caches],
        ],
        input_output_aliases={first + n: len(partial) + n for n in range(arrays)},
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=32 << 20),
        cost_estimate=_cost(q, caches[0]),
        interpret=interpret,
        name="attend_and_write",
    )(*arguments)
    out, peak, total = partial
    written = [x.values if x.scale is None else Int8(*x) for x in written]
    return out, peak[..., 0], total[..., 0], *written
