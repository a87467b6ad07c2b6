"""Packed attention by tiles of queries, for devices without a kernel.

A tile of queries is multiplied with the keys up to its own end, so little more than half of the
scores are computed. None are stored: the backward pass recomputes them from the log of their sums
(FlashAttention, Dao et al. 2022, section 3.1; a full row of keys fits, so no sum is running).
"""

import functools

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int

from codex_jax.model.attention.core import ATTENTION, MASKED, Attend

_MIN_TILE = 128  # queries; the scores of such a tile fit a CPU's caches
_MAX_TILES = 16  # in a row; they are unrolled

_einsum = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def tiled_attention(segment_ids: Int[Array, "B T"]) -> Attend:
    """Computes `packed_attention` in less time and memory, without a cache."""

    def attend(q, k, v, cache, layer):
        del layer
        B, T, N, H = q.shape
        queries = q.reshape(B, T, k.shape[2], -1, H).transpose(0, 2, 3, 1, 4)
        keys, values = (x.transpose(0, 2, 1, 3) for x in (k, v))
        out = _attend(queries, keys, values, segment_ids)
        return out.transpose(0, 3, 1, 2, 4).reshape(B, T, N, H), cache

    return attend


def _tiles(length: int) -> list[slice]:
    """Slices of the queries of a row."""
    size = max(_MIN_TILE, -(-length // _MAX_TILES))
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _scores(
    q: Float[Array, "B K G T H"],
    k: Float[Array, "B K T H"],
    segments: Int[Array, "B T"],
    tile: slice,
) -> Float[Array, "B K G t s"]:
    """Scaled, masked scores of a tile of queries, in f32."""
    scores = _einsum("BKGTH,BKSH->BKGTS", q[:, :, :, tile], k[:, :, : tile.stop])
    visible = segments[:, tile, None] == segments[:, None, : tile.stop]
    visible &= jnp.arange(tile.start, tile.stop)[:, None] >= jnp.arange(tile.stop)
    return jnp.where(visible[:, None, None], scores * q.shape[-1] ** -0.5, MASKED)


@jax.custom_vjp
def _attend(
    q: Float[Array, "B K G T H"],
    k: Float[Array, "B K T H"],
    v: Float[Array, "B K T H"],
    segments: Int[Array, "B T"],
) -> Float[Array, "B K G T H"]:
    return _forward(q, k, v, segments)[0]


def _forward(q, k, v, segments):
    outs, logs = [], []
    for tile in _tiles(q.shape[3]):
        scores = _scores(q, k, segments, tile)
        top = scores.max(axis=-1, keepdims=True)
        weights = jnp.exp(scores - top)
        total = weights.sum(axis=-1, keepdims=True)
        out = _einsum("BKGTS,BKSH->BKGTH", weights.astype(v.dtype), v[:, :, : tile.stop])
        outs.append((out / total).astype(q.dtype))
        logs.append(top + jnp.log(total))
    out = checkpoint_name(jnp.concatenate(outs, axis=3), ATTENTION)
    log_total = checkpoint_name(jnp.concatenate(logs, axis=3), ATTENTION)
    return out, (q, k, v, segments, out, log_total)


def _backward(residuals, d_out):
    """Gradients by q, k and v.

    Those by keys and values are summed transposed: on a CPU one side of their products must be
    copied so, and queries are fewer numbers than scores. They are products of f32, since XLA for
    CPUs has none of bfloat16 with a transposed side.
    """
    q, k, v, segments, out, log_total = residuals
    delta = _einsum("BKGTH,BKGTH->BKGT", d_out, out)[..., None]
    d_q = []
    d_k, d_v = (jnp.zeros_like(x.swapaxes(2, 3), jnp.float32) for x in (k, v))
    sum_queries = functools.partial(jnp.einsum, "BKGTH,BKGTS->BKHS")
    for tile in _tiles(q.shape[3]):
        keys, queries = (slice(None), slice(None), slice(tile.stop)), (..., tile, slice(None))
        weights = jnp.exp(_scores(q, k, segments, tile) - log_total[queries])
        d_weights = _einsum("BKGTH,BKSH->BKGTS", d_out[queries], v[keys])
        d_scores = weights * (d_weights - delta[queries]) * q.shape[-1] ** -0.5
        d_q.append(_einsum("BKGTS,BKSH->BKGTH", d_scores.astype(q.dtype), k[keys]).astype(q.dtype))
        q_tile, d_tile = (x[queries].astype(jnp.float32) for x in (q, d_out))
        d_k = d_k.at[..., : tile.stop].add(sum_queries(q_tile, d_scores))
        d_v = d_v.at[..., : tile.stop].add(sum_queries(d_tile, weights))
    d_k, d_v = (d.swapaxes(2, 3).astype(k.dtype) for d in (d_k, d_v))
    return jnp.concatenate(d_q, axis=3), d_k, d_v, None


_attend.defvjp(_forward, _backward)
