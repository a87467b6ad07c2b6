"""Attention of one new token a row over the row's own keys on TPU, as one Mosaic kernel a layer.

A step of the grid holds a tile of rows and a block of positions, of all key heads. It merges them
into an online softmax (FlashAttention, Dao et al. 2022) that begins with what the row's prompt gave
and the new token, and sends the few positions around the new token back to the cache, which is
written in place. Blocks behind the longest row of a tile aren't read.

Queries of the G heads that share a key head lie side by side, (R, K, G·H): an axis of G = 1 would
be padded to eight.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from codex_jax.model.quantization import Int8, round_to_levels
from codex_jax.sample.engine.prefix_attention import PartialSoftmax

_BLOCK = 128  # positions read at a time
_TILE_BYTES = 32  # of the memory's tiles along positions
_BLOCK_BYTES = 3 << 19  # of the keys of a tile of rows' block
_VMEM_BYTES = 16 << 20  # that the kernel takes from the weights read ahead
_MASKED = -1e30


class _Fields(NamedTuple):
    """Refs, arrays or specs of values and, of an int8 cache, their scales; else None."""

    values: Any
    scale: Any = None


class _Cache(NamedTuple):
    """A kernel's refs to the keys, or to the values.

    Attributes:
      new: the new token's, quantized: (R, K, H) in f32, and scales (R, K, 1).
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
    written = jnp.where(is_new, new.values[row][:, None], old)
    if window.scale is None:
        window.values[row] = written.astype(window.values.dtype)
        return
    window.values[row] = written.astype(jnp.int32).astype(jnp.int8)
    is_new = jax.lax.broadcasted_iota(jnp.int32, window.scale.shape[1:], 1) == position - first
    window.scale[row] = jnp.where(is_new, new.scale[row], block.scale[row])


def _split_heads(x: Array, size: int) -> Array:
    """(R, K, G·size) as (R, K, G, size)."""
    heads = [x[:, :, None, n : n + size] for n in range(0, x.shape[-1], size)]
    return jnp.concatenate(heads, axis=2) if len(heads) > 1 else heads[0]


def _join_heads(x: Array) -> Array:
    """(R, K, G, H) as (R, K, G·H)."""
    return jnp.concatenate([x[:, :, n] for n in range(x.shape[2])], axis=-1)


def _kernel(length, last, count, q, shared, new, blocks, out, targets, state, windows, semaphores):
    mixed, peak, total = state
    new = [
        _quantize(x[...].astype(jnp.float32), cache) for x, cache in zip(new, blocks, strict=True)
    ]
    caches = [
        _Cache(*refs, semaphores.at[n])
        for n, refs in enumerate(zip(new, blocks, targets, windows, strict=True))
    ]
    tile, block = pl.program_id(0), pl.program_id(1)
    R, K, G, H = mixed.shape
    queries = _split_heads(q[...].astype(jnp.float32) * H**-0.5, H)
    for cache in caches:
        _write_new_token(length, cache, wait=False)

    @pl.when(block == 0)
    def _():
        new_key, new_value = (_new_token(cache.new) for cache in caches)
        score = (queries * new_key).sum(axis=-1, keepdims=True)
        before, before_total = (_split_heads(x[...], 1) for x in shared[1:])
        highest = jnp.maximum(before, score)
        shrink, weight = jnp.exp(before - highest), jnp.exp(score - highest)
        mixed[...] = _split_heads(shared[0][...], H) * shrink + new_value * weight
        total[...] = jnp.broadcast_to(before_total * shrink + weight, total.shape)
        peak[...] = jnp.broadcast_to(highest, peak.shape)

    @pl.when(block <= last[tile])
    def _():
        k, v = (cache.block for cache in caches)
        keys, values = (x.values[...].astype(q.dtype).reshape(R * K, _BLOCK, H) for x in (k, v))
        scores = _dot("bgh,bsh->bgs", queries.astype(q.dtype).reshape(R * K, G, H), keys)
        scores = _scaled(scores.reshape(R, K, G, _BLOCK), k.scale)
        position = block * _BLOCK + jax.lax.broadcasted_iota(jnp.int32, scores.shape, 3)
        scores = jnp.where(position < count[...], scores, _MASKED)
        new_peak = jnp.maximum(peak[...], scores.max(axis=-1, keepdims=True))
        weights, shrink = jnp.exp(scores - new_peak), jnp.exp(peak[...] - new_peak)
        scaled = _scaled(weights, v.scale).astype(q.dtype).reshape(R * K, G, _BLOCK)
        mix = _dot("bgs,bsh->bgh", scaled, values)
        mixed[...] = mixed[...] * shrink[..., :1] + mix.reshape(R, K, G, H)
        total[...] = total[...] * shrink + weights.sum(axis=-1, keepdims=True)
        peak[...] = new_peak

    @pl.when(block == pl.num_programs(1) - 1)
    def _():
        out[...] = _join_heads(mixed[...] / total[..., :1]).astype(out.dtype)

    for cache in caches:
        _write_new_token(length, cache, wait=True)


def _quantize(x: Float[Array, "R K H"], cache: _Fields) -> _Fields:
    """A new token's keys or values as the cache stores them, but in f32."""
    if cache.scale is None:
        return _Fields(x.astype(cache.values.dtype).astype(jnp.float32))
    return _Fields(*round_to_levels(x, -1))


def _new_token(new: _Fields) -> Array:
    """The new token's keys or values as the next step reads them, (R, K, 1, H) in f32."""
    return (new.values if new.scale is None else new.values * new.scale)[:, :, None]


def _tile_rows(rows: int, row_bytes: int) -> int:
    """Rows of a tile: a divisor of `rows` whose block of keys fits."""
    sizes = (n for n in (2, 4, 8) if rows % n == 0 and n * row_bytes <= _BLOCK_BYTES)
    return max(sizes, default=1)


def _cost(keys: _Fields, group: int) -> pl.CostEstimate:
    """FLOPs and bytes if every row is at its longest; `group` queries share a key head."""
    B, K, S, H = keys.values.shape
    G = group
    tokens = math.prod((B, K, 2 * G + 2, H)) * 2 + B * _BLOCK * 4
    shared = math.prod((B, K, G, H + 2)) * 4
    position = H * keys.values.dtype.itemsize
    written = _window(keys.values.dtype) * position
    if keys.scale is not None:
        position, written = position + 4, written + _BLOCK * 4
    return pl.CostEstimate(
        flops=4 * math.prod((B, K, G, S, H)),
        transcendentals=math.prod((B, K, G, S)),
        bytes_accessed=2 * B * K * (S * position + written) + tokens + shared,
    )


def _map(build: Any, fields: _Fields) -> _Fields:
    """build(array) of the values and of the scales, where there are any."""
    return _Fields(*(None if x is None else build(x) for x in fields))


def attend_and_write(
    q: Float[Array, "B K G H"],
    k: Float[Array, "B K H"],
    v: Float[Array, "B K H"],
    keys: Float[Array, "B K S H"] | Int8,
    values: Float[Array, "B K S H"] | Int8,
    length: Int[Array, "B"],
    shared: PartialSoftmax,
    *,
    interpret: bool = False,
) -> tuple[Float[Array, "B K G H"], Any, Any]:
    """Returns what the new tokens attend to, in q's dtype, and the caches with their keys.

    Args:
      q: Queries of the new token; G heads share a key head.
      k: The new token's keys.
      v: Its values.
      keys: The rows' keys; overwritten. S is a multiple of 128, as is H.
      values: Likewise.
      length: Positions of each row so far.
      shared: The sum over the row's prompt, which the row's own positions are added to.
      interpret: Run by the interpreter, as on a CPU.
    """
    B, K, G, H = q.shape
    caches = [_Fields(*x) if isinstance(x, Int8) else _Fields(x) for x in (keys, values)]
    rows = _tile_rows(B, K * _BLOCK * H * caches[0].values.dtype.itemsize)
    last = length.reshape(B // rows, rows).max(axis=1) // _BLOCK
    count = jnp.broadcast_to(length[:, None, None, None], (B, 1, 1, _BLOCK))
    q = q.reshape(B, K, G * H)
    before = [shared.mixed.reshape(q.shape), shared.peak, shared.total]
    arguments = (length, last, count, q, before, [k, v], caches)
    arrays = len(jax.tree.leaves(caches))
    first = len(jax.tree.leaves(arguments)) - arrays

    def shape(x):
        return jax.ShapeDtypeStruct(x.shape, x.dtype)

    out, written = pl.pallas_call(
        _kernel,
        grid_spec=_grid(*arguments[2:], rows=rows),
        out_shape=[shape(q), [_map(shape, x) for x in caches]],
        input_output_aliases={first + n: 1 + n for n in range(arrays)},
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=_VMEM_BYTES),
        cost_estimate=_cost(caches[0], G),
        interpret=interpret,
        name="attend_and_write",
    )(*arguments)
    written = [x.values if x.scale is None else Int8(*x) for x in written]
    return out.reshape(B, K, G, H), *written


def _grid(count: Array, q: Array, before: Any, new: Any, caches: Any, *, rows: int) -> Any:
    """Tiles of `rows` rows by blocks of positions, and what of the arrays a step of them holds."""
    B, K, S, H = caches[0].values.shape
    groups = q.shape[-1] // H
    window = _window(caches[0].values.dtype)

    def tile(x):
        after = [0] * (x.ndim - 1)
        return pl.BlockSpec((rows, *x.shape[1:]), lambda tile, *_: (tile, *after))

    def block(x):
        after = (0,) * (x.ndim - 3)
        return pl.BlockSpec(
            (rows, K, _BLOCK, *x.shape[3:]),
            lambda tile, block, _, last: (tile, 0, jnp.minimum(block, last[tile]), *after),
        )

    def written(x):
        return pltpu.VMEM((rows, K, window, H) if x.ndim == 4 else (rows, K, _BLOCK), x.dtype)

    in_blocks = [_map(block, x) for x in caches]
    in_place = [_map(lambda _: pl.BlockSpec(memory_space=pl.ANY), x) for x in caches]
    state = [pltpu.VMEM((rows, K, groups, n), jnp.float32) for n in (H, _BLOCK, _BLOCK)]
    return pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=2,
        grid=(B // rows, S // _BLOCK),
        in_specs=[*jax.tree.map(tile, (count, q, before, new)), in_blocks],
        out_specs=[tile(q), in_place],
        scratch_shapes=[
            state,
            [_map(written, x) for x in caches],
            pltpu.SemaphoreType.DMA((2, 2)),
        ],
    )
