"""Packed attention over a sequence split across devices: keys and values travel around a ring.

Ring attention (Liu, Zaharia, Abbeel 2023) with FlashAttention's running softmax and its backward
pass (Dao 2023, sections 3.1 and 3.2), a block of scores at a time: memory grows with a device's
tokens, never with their square. The sequence is split in zigzag order, the earliest and the latest
part to the first device, so that every device has as many unmasked pairs of tokens; blocks of
scores that are masked completely are skipped.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from codex_jax.model.attention.core import ATTENTION, MASKED, Attend

_BLOCK = 512  # queries, and keys, of a block of scores


class Tokens(NamedTuple):
    """Positions and segments of b rows and t columns, from which the mask is computed.

    Attributes:
      position: index of each column in the row, before the zigzag order: (t,), or (c, t) in blocks.
      segment: document of each token: (b, t), or (c, b, t) in blocks.
    """

    position: Any
    segment: Any


class Softmax(NamedTuple):
    """Running softmax over the keys visited so far, in f32; `out` is not yet divided by `total`.

    Attributes:
      out: weighted sum of values, (b, K, G, t, H), or (c, b, K, G, t, H) in blocks.
      top: largest score.
      total: sum of exp(score - top).
    """

    out: Float[Array, "*c b K G t H"]
    top: Float[Array, "*c b K G t"]
    total: Float[Array, "*c b K G t"]


def zigzag(length: int, devices: int) -> np.ndarray:
    """Order of the columns in which device i of n holds parts i and 2n-1-i of 2n equal parts."""
    parts = np.arange(length).reshape(2 * devices, -1)
    return np.stack([parts[:devices], parts[: devices - 1 : -1]], axis=1).reshape(-1)


def ring_attention(
    segment_ids: Int[Array, "B T"],
    *,
    mesh: Mesh,
    rows: tuple[str, ...],
    columns: str,
    heads: tuple[str, ...],
) -> Attend:
    """Computes `packed_attention` of columns in `zigzag` order, without a cache.

    Args:
      segment_ids: in zigzag order, as q, k and v are.
      mesh: devices over which the arrays are split.
      rows: mesh axes over which B is split.
      columns: the mesh axis over which T is split; twice its size divides T.
      heads: mesh axes over which N and K are split.
    """
    devices = mesh.shape[columns]
    position = jnp.asarray(zigzag(segment_ids.shape[1], devices), jnp.int32)
    split = PartitionSpec(rows, columns, heads, None)

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(
            split,
            split,
            split,
            Tokens(PartitionSpec(columns), PartitionSpec(rows, columns)),
        ),
        out_specs=split,
        check_vma=False,
    )
    def local(q, k, v, tokens):
        b, t, K, _ = k.shape
        grouped = q.reshape(b, t, K, -1, q.shape[-1])
        size = _block(t)
        q_blocks, k_blocks, v_blocks = (_cut(x, 1, size) for x in (grouped, k, v))
        tokens = Tokens(_cut(tokens.position, 0, size), _cut(tokens.segment, 1, size))
        out = _attend(q_blocks, k_blocks, v_blocks, tokens, columns, devices)
        return _join(out).reshape(q.shape)

    def attend(q, k, v, cache, layer):
        del layer
        return local(q, k, v, Tokens(position, segment_ids)), cache

    return attend


def _block(length: int) -> int:
    """Largest block size up to _BLOCK that divides each of the two parts a device holds."""
    return max(size for size in range(1, _BLOCK + 1) if (length // 2) % size == 0)


def _cut(x: Array, axis: int, size: int) -> Array:
    """Cuts an axis into blocks, which become the first axis."""
    shape = (*x.shape[:axis], -1, size, *x.shape[axis + 1 :])
    return jnp.moveaxis(x.reshape(shape), axis, 0)


def _join(blocks: Float[Array, "c b t K G H"]) -> Float[Array, "b c*t K G H"]:
    """Joins the blocks of a row again."""
    c, b, t, *heads = blocks.shape
    return jnp.moveaxis(blocks, 0, 1).reshape(b, c * t, *heads)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _attend(
    q: Float[Array, "c b t K G H"],
    k: Float[Array, "c b t K H"],
    v: Float[Array, "c b t K H"],
    tokens: Tokens,
    ring: str,
    devices: int,
) -> Float[Array, "c b t K G H"]:
    """Attention of a device's blocks to the keys of all devices of the ring."""
    return _forward(q, k, v, tokens, ring, devices)[0]


def _forward(q, k, v, tokens, ring, devices):
    c, b, t, K, G, H = q.shape
    q, tokens = _tie_to_layer(q, tokens)
    empty = Softmax(
        jnp.zeros((c, b, K, G, t, H), jnp.float32),
        jnp.full((c, b, K, G, t), MASKED, jnp.float32),
        jnp.zeros((c, b, K, G, t), jnp.float32),
    )

    def visit_keys(carry, _):
        keys, softmax = carry
        next_keys = send_to_next(keys, ring, devices)  # while the present ones are computed with

        def attend_block(block):
            queries, softmax = block
            step = functools.partial(_accumulate, queries)
            return jax.lax.scan(lambda softmax, keys: (step(keys, softmax), None), softmax, keys)

        softmax, _ = jax.lax.map(attend_block, ((q, tokens), softmax))
        return (next_keys, softmax), None

    (_, softmax), _ = jax.lax.scan(visit_keys, ((k, v, tokens), empty), length=devices)
    out = jnp.moveaxis(softmax.out / softmax.total[..., None], -2, 2).astype(q.dtype)
    log_total = checkpoint_name(softmax.top + jnp.log(softmax.total), ATTENTION)
    out = checkpoint_name(out, ATTENTION)
    return out, (q, k, v, tokens, out, log_total)


def _tie_to_layer(x: Array, tokens: Tokens) -> tuple[Array, Tokens]:
    """Makes tokens depend on a layer's x: XLA would hoist all masks out of the scan over layers."""
    return jax.lax.optimization_barrier((x, tokens))


def send_to_next(blocks, ring: str, devices: int):
    """Sends every array to the next device of the ring."""
    pairs = [(i, (i + 1) % devices) for i in range(devices)]
    return jax.tree.map(lambda x: jax.lax.ppermute(x, ring, pairs), blocks)


def _skip_if_masked(queries: Tokens, keys: Tokens, update, state):
    """update(state), or `state` if all the keys come after all the queries."""
    masked = queries.position.max() < keys.position.min()
    return jax.lax.cond(masked, lambda state: state, update, state)


def _visible_mask(queries: Tokens, keys: Tokens) -> Bool[Array, "b t s"]:
    """True where a query sees a key: of its own segment, and not after it."""
    same_segment = queries.segment[:, :, None] == keys.segment[:, None, :]
    return same_segment & (queries.position[:, None] >= keys.position)


def _scores(
    q: Float[Array, "b t K G H"], k: Float[Array, "b s K H"], queries: Tokens, keys: Tokens
) -> Float[Array, "b K G t s"]:
    """Scaled, masked scores of a block of queries and a block of keys, in f32."""
    scores = _einsum("BTKGH,BSKH->BKGTS", q, k)
    visible = _visible_mask(queries, keys)
    return jnp.where(visible[:, None, None], scores * q.shape[-1] ** -0.5, MASKED)


def _accumulate(queries, keys, softmax: Softmax) -> Softmax:
    """Adds a block of keys and values to the running softmax of a block of queries."""
    (q, q_tokens), (k, v, k_tokens) = queries, keys

    def update(softmax: Softmax) -> Softmax:
        scores = _scores(q, k, q_tokens, k_tokens)
        top = jnp.maximum(softmax.top, scores.max(axis=-1))
        # A query that has seen no key has weights 1 here; the first key that it sees makes them 0.
        weights = jnp.exp(scores - top[..., None])
        decay = jnp.exp(softmax.top - top)
        values = _einsum("BKGTS,BSKH->BKGTH", weights.astype(v.dtype), v)
        total = softmax.total * decay + weights.sum(axis=-1)
        return Softmax(softmax.out * decay[..., None] + values, top, total)

    return _skip_if_masked(q_tokens, k_tokens, update, softmax)


_einsum = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def _backward(ring, devices, residuals, d_out):
    """Recomputes scores from the saved log-sums; gradients of keys travel with their keys."""
    q, k, v, tokens, out, log_total = residuals
    d_out, tokens = _tie_to_layer(d_out, tokens)
    delta = _einsum("cBTKGH,cBTKGH->cBKGT", d_out, out)
    queries = (q, tokens, d_out, log_total, delta)

    def visit_keys(carry, _):
        key_blocks, d_q = carry

        def differentiate_block(d_q, block):
            keys, d_keys = block
            step = functools.partial(_accumulate_backward, keys)
            d_keys, d_q = jax.lax.scan(
                lambda d_keys, blocks: step(d_keys, *blocks), d_keys, (queries, d_q)
            )
            return d_q, (keys, d_keys)

        d_q, key_blocks = jax.lax.scan(differentiate_block, d_q, key_blocks)
        return (send_to_next(key_blocks, ring, devices), d_q), None

    zero_q, *zero_keys = (jnp.zeros(x.shape, jnp.float32) for x in (q, k, v))
    start = (((k, v, tokens), tuple(zero_keys)), zero_q)
    ((_, (d_k, d_v)), d_q), _ = jax.lax.scan(visit_keys, start, length=devices)
    return d_q.astype(q.dtype), d_k.astype(k.dtype), d_v.astype(v.dtype), None


def _accumulate_backward(keys, d_keys, queries, d_q):
    """Adds one block of queries and one of keys to ((d_k, d_v), d_q)."""
    (k, v, k_tokens), (q, q_tokens, d_out, log_total, delta) = keys, queries

    def update(gradients):
        (d_k, d_v), d_q = gradients
        weights = jnp.exp(_scores(q, k, q_tokens, k_tokens) - log_total[..., None])
        d_weights = _einsum("BTKGH,BSKH->BKGTS", d_out, v)
        d_scores = (weights * (d_weights - delta[..., None]) * q.shape[-1] ** -0.5).astype(q.dtype)
        d_v += _einsum("BKGTS,BTKGH->BSKH", weights.astype(v.dtype), d_out)
        d_k += _einsum("BKGTS,BTKGH->BSKH", d_scores, q)
        return (d_k, d_v), d_q + _einsum("BKGTS,BSKH->BTKGH", d_scores, k)

    return _skip_if_masked(q_tokens, k_tokens, update, (d_keys, d_q))


_attend.defvjp(_forward, _backward)
