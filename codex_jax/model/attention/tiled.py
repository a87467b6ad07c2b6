"""Packed attention, some queries at a time: what is computed where no kernel is at hand.

A tile of queries meets the keys up to its own end, no later ones, so little more than half of the
scores are made; none are kept: the backward pass makes them again from the log of their sums
(FlashAttention, Dao et al. 2022, section 3.1; a whole row of keys fits, so no sum is running).
"""

import functools

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int

from codex_jax.model.attention.core import ATTENTION, MASKED, Attend

_TILE = 128  # queries, at least; scores of one tile lie in a CPU's caches
_TILES = 16  # of a row, at most: they are unrolled

_product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def tiled_attention(segment_ids: Int[Array, "B T"]) -> Attend:
    """What `packed_attention` computes, in less time and memory; no cache."""

    def attend(q, k, v, cache, layer):
        del layer
        B, T, N, H = q.shape
        queries = q.reshape(B, T, k.shape[2], -1, H).transpose(0, 2, 3, 1, 4)
        keys, values = (x.transpose(0, 2, 1, 3) for x in (k, v))
        out = _attend(queries, keys, values, segment_ids)
        return out.transpose(0, 3, 1, 2, 4).reshape(B, T, N, H), cache

    return attend


def _tiles(length: int) -> list[slice]:
    size = max(_TILE, -(-length // _TILES))
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _scores(q, k, segments, tile: slice) -> Float[Array, "B K G t s"]:
    scores = _product("BKGTH,BKSH->BKGTS", q[:, :, :, tile], k[:, :, : tile.stop])
    seen = segments[:, tile, None] == segments[:, None, : tile.stop]
    seen &= jnp.arange(tile.start, tile.stop)[:, None] >= jnp.arange(tile.stop)
    return jnp.where(seen[:, None, None], scores * q.shape[-1] ** -0.5, MASKED)


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
        out = _product("BKGTS,BKSH->BKGTH", weights.astype(v.dtype), v[:, :, : tile.stop])
        outs.append((out / total).astype(q.dtype))
        logs.append(top + jnp.log(total))
    out = checkpoint_name(jnp.concatenate(outs, axis=3), ATTENTION)
    log_total = checkpoint_name(jnp.concatenate(logs, axis=3), ATTENTION)
    return out, (q, k, v, segments, out, log_total)


def _backward(kept, d_out):
    q, k, v, segments, out, log_total = kept
    delta = _product("BKGTH,BKGTH->BKGT", d_out, out)[..., None]
    d_q, d_k, d_v = [], jnp.zeros(k.shape, jnp.float32), jnp.zeros(v.shape, jnp.float32)
    for tile in _tiles(q.shape[3]):
        seen, mine = (slice(None), slice(None), slice(tile.stop)), (..., tile, slice(None))
        weights = jnp.exp(_scores(q, k, segments, tile) - log_total[mine])
        d_weights = _product("BKGTH,BKSH->BKGTS", d_out[mine], v[seen])
        d_scores = (weights * (d_weights - delta[mine]) * q.shape[-1] ** -0.5).astype(q.dtype)
        d_q.append(_product("BKGTS,BKSH->BKGTH", d_scores, k[seen]).astype(q.dtype))
        d_k = d_k.at[seen].add(_product("BKGTS,BKGTH->BKSH", d_scores, q[mine]))
        weights = weights.astype(v.dtype)
        d_v = d_v.at[seen].add(_product("BKGTS,BKGTH->BKSH", weights, d_out[mine]))
    return jnp.concatenate(d_q, axis=3), d_k.astype(k.dtype), d_v.astype(v.dtype), None


_attend.defvjp(_forward, _backward)
