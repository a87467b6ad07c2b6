"""Attention of one new token a row over the row's own keys on TPU, as one Mosaic kernel a layer.

A step of the grid holds a tile of rows and a block of positions, of all key heads. It merges them
into an online softmax (FlashAttention, Dao et al. 2022) that begins with the new token, and sends
the few positions around the new token back to the cache, which is written in place. Blocks behind
the longest row of a tile aren't read.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

_BLOCK = 128  # positions read at a time
_WINDOW = 16  # positions written back: a multiple of the memory's tiles of bfloat16
_TILE_BYTES = 3 << 19  # of the keys of a tile's block
_MASKED = -1e30


def _dot(equation: str, a: Array, b: Array) -> Array:
    return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)


def _write_windows(length, new, cache, target, window, semaphore, *, wait: bool):
    """Starts, or awaits, the copies of the windows that hold the new keys (or values)."""
    tile, block = pl.program_id(0), pl.program_id(1)
    rows = cache.shape[0]
    for row in range(rows):
        position = length[tile * rows + row]

        @pl.when(jax.lax.div(position, _BLOCK) == block)
        def _(row=row, position=position):
            start = pl.multiple_of(jax.lax.div(position, _WINDOW) * _WINDOW, _WINDOW)
            first = pl.multiple_of(start - block * _BLOCK, _WINDOW)
            at = target.at[tile * rows + row, :, pl.ds(start, _WINDOW), :]
            copy = pltpu.make_async_copy(window.at[row], at, semaphore)
            if wait:
                copy.wait()
                return
            old = cache[row, :, pl.ds(first, _WINDOW), :].astype(jnp.float32)
            is_new = jax.lax.broadcasted_iota(jnp.int32, old.shape, 1) == position - start
            written = jnp.where(is_new, new[row].astype(jnp.float32), old)
            window[row] = written.astype(window.dtype)
            copy.start()


def _kernel(length, last, count, q, new_k, new_v, k, v, *results_and_scratch):
    out, peak_out, total_out, k_out, v_out, mixed, peak, total, *scratch = results_and_scratch
    k_window, v_window, semaphores = scratch
    tile, block = pl.program_id(0), pl.program_id(1)
    R, K, G, H = q.shape
    writes = [
        functools.partial(_write_windows, length, new_k, k, k_out, k_window, semaphores.at[0]),
        functools.partial(_write_windows, length, new_v, v, v_out, v_window, semaphores.at[1]),
    ]
    for write in writes:
        write(wait=False)

    @pl.when(block == 0)
    def _():
        product = q[...].astype(jnp.float32) * new_k[...].astype(jnp.float32)
        peak[...] = jnp.broadcast_to(product.sum(axis=-1, keepdims=True), peak.shape)
        total[...] = jnp.ones_like(total)
        mixed[...] = jnp.broadcast_to(new_v[...].astype(jnp.float32), mixed.shape)

    @pl.when(block <= last[tile])
    def _():
        keys, values = (x[...].reshape(R * K, _BLOCK, H) for x in (k, v))
        scores = _dot("bgh,bsh->bgs", q[...].reshape(R * K, G, H), keys).reshape(R, K, G, _BLOCK)
        position = block * _BLOCK + jax.lax.broadcasted_iota(jnp.int32, scores.shape, 3)
        scores = jnp.where(position < count[...], scores, _MASKED)
        new_peak = jnp.maximum(peak[...], scores.max(axis=-1, keepdims=True))
        weights, shrink = jnp.exp(scores - new_peak), jnp.exp(peak[...] - new_peak)
        mix = _dot("bgs,bsh->bgh", weights.astype(v.dtype).reshape(R * K, G, _BLOCK), values)
        mixed[...] = mixed[...] * shrink[..., :1] + mix.reshape(R, K, G, H)
        total[...] = total[...] * shrink + weights.sum(axis=-1, keepdims=True)
        peak[...] = new_peak

    @pl.when(block == pl.num_programs(1) - 1)
    def _():
        out[...], peak_out[...], total_out[...] = mixed[...], peak[...], total[...]

    for write in writes:
        write(wait=True)


def _tile_rows(rows: int, row_bytes: int) -> int:
    """Rows of a tile: a divisor of `rows` whose block of keys fits."""
    sizes = (n for n in (2, 4, 8) if rows % n == 0 and n * row_bytes <= _TILE_BYTES)
    return max(sizes, default=1)


def _cost(q: Array, keys: Array) -> pl.CostEstimate:
    """FLOPs and bytes if every row is at its longest."""
    B, K, G, H = q.shape
    S = keys.shape[2]
    tokens = math.prod((B, K, G + 2, H)) * q.dtype.itemsize + B * _BLOCK * 4
    results = math.prod((B, K, G, H + 2 * _BLOCK)) * 4
    return pl.CostEstimate(
        flops=4 * math.prod((B, K, G, S, H)),
        transcendentals=math.prod((B, K, G, S)),
        bytes_accessed=2 * math.prod((B, K, S + _WINDOW, H)) * keys.dtype.itemsize
        + tokens
        + results,
    )


def attend_and_write(
    q: Float[Array, "B K G H"],
    k: Float[Array, "B K H"],
    v: Float[Array, "B K H"],
    keys: Float[Array, "B K S H"],
    values: Float[Array, "B K S H"],
    length: Int[Array, "B"],
    *,
    interpret: bool = False,
) -> tuple[Array, Array, Array, Array, Array]:
    """Returns (Σ e^(s - peak)·v, peak, Σ e^(s - peak)) in f32, and the caches with the new token.

    Args:
      q: Queries of the new token, scaled; G heads share a key head.
      k: The new token's keys.
      v: Its values.
      keys: The rows' keys; overwritten. S is a multiple of 128, as is H.
      values: Likewise.
      length: Positions of each row so far.
      interpret: Run by the interpreter, as on a CPU.
    """
    B, K, G, H = q.shape
    S = keys.shape[2]
    R = _tile_rows(B, K * _BLOCK * H * keys.dtype.itemsize)
    last = length.reshape(B // R, R).max(axis=1) // _BLOCK
    count = jnp.broadcast_to(length[:, None, None, None], (B, 1, 1, _BLOCK))

    def rows(*shape):
        return pl.BlockSpec((R, *shape), lambda tile, *_: (tile, 0, 0, 0))

    cache = pl.BlockSpec(
        (R, K, _BLOCK, H),
        lambda tile, block, _, last: (tile, 0, jnp.minimum(block, last[tile]), 0),
    )
    anywhere = pl.BlockSpec(memory_space=pl.ANY)
    partial = [jax.ShapeDtypeStruct((B, K, G, n), jnp.float32) for n in (H, _BLOCK, _BLOCK)]
    state = [pltpu.VMEM((R, *x.shape[1:]), jnp.float32) for x in partial]
    windows = [pltpu.VMEM((R, K, _WINDOW, H), keys.dtype)] * 2
    grid = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=2,
        grid=(B // R, S // _BLOCK),
        in_specs=[rows(1, 1, _BLOCK), rows(K, G, H), *[rows(K, 1, H)] * 2, cache, cache],
        out_specs=[rows(*x.shape[1:]) for x in partial] + [anywhere] * 2,
        scratch_shapes=[*state, *windows, pltpu.SemaphoreType.DMA((2,))],
    )
    out, peak, total, keys, values = pl.pallas_call(
        _kernel,
        grid_spec=grid,
        out_shape=[*partial, *(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (keys, values))],
        input_output_aliases={6: 3, 7: 4},
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=32 << 20),
        cost_estimate=_cost(q, keys),
        interpret=interpret,
        name="attend_and_write",
    )(length, last, count, q, k[:, :, None], v[:, :, None], keys, values)
    return out, peak[..., 0], total[..., 0], keys, values
