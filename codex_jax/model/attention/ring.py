"""Packed attention over a sequence split across devices: keys and values travel around a ring.

Ring attention (Liu, Zaharia, Abbeel 2023) with FlashAttention's running softmax and its backward
pass (Dao 2023, sections 3.1 and 3.2), a block of scores at a time: memory grows with a device's
tokens, never with their square. The sequence is dealt out in zig-zag, the earliest with the latest
part to the first device, so that every device has as many pairs of tokens that see each other;
blocks of scores that lie wholly in the future are skipped.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from codex_jax.model.attention.core import ATTENTION, MASKED, Attend

_BLOCK = 512  # queries, and keys, of the scores at hand at a time


class Tokens(NamedTuple):
    """What decides who sees whom, of b rows and t columns."""

    place: Int[Array, "t"]  # of the column in the row, before it was dealt out
    segment: Int[Array, "b t"]


class Running(NamedTuple):
    """Softmax over the keys met so far; out is not yet divided by total. All f32."""

    out: Float[Array, "b K G t H"]
    top: Float[Array, "b K G t"]
    total: Float[Array, "b K G t"]


def zigzag(length: int, devices: int) -> np.ndarray:
    """The columns so ordered that device i of n holds parts i and 2n−1−i of 2n equal ones."""
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
    """What `packed_attention` computes, of columns in the order of `zigzag`; no cache.

    Args:
      segment_ids: in that order too, as q, k and v are.
      rows: mesh axes over which B is split.
      columns: the mesh axis over which T is split, twice of which divides T.
      heads: mesh axes over which N and K are split.
    """
    devices = mesh.shape[columns]
    place = jnp.asarray(zigzag(segment_ids.shape[1], devices), jnp.int32)
    spread = PartitionSpec(rows, columns, heads, None)

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(
            spread,
            spread,
            spread,
            Tokens(PartitionSpec(columns), PartitionSpec(rows, columns)),
        ),
        out_specs=spread,
        check_vma=False,
    )
    def local(q, k, v, tokens):
        b, t, K, _ = k.shape
        grouped = q.reshape(b, t, K, -1, q.shape[-1])
        size = _block(t)
        blocks = (_cut(x, 1, size) for x in (grouped, k, v))
        of = Tokens(_cut(tokens.place, 0, size), _cut(tokens.segment, 1, size))
        return _join(_attend(*blocks, of, columns, devices)).reshape(q.shape)

    def attend(q, k, v, cache, layer):
        del layer
        return local(q, k, v, Tokens(place, segment_ids)), cache

    return attend


def _block(length: int) -> int:
    """The largest block up to _BLOCK that divides each of the two parts a device holds."""
    return max(size for size in range(1, _BLOCK + 1) if (length // 2) % size == 0)


def _cut(x: Array, axis: int, size: int) -> Array:
    """An axis cut into blocks, which become the first axis."""
    shape = (*x.shape[:axis], -1, size, *x.shape[axis + 1 :])
    return jnp.moveaxis(x.reshape(shape), axis, 0)


def _join(blocks: Float[Array, "c b t K G H"]) -> Float[Array, "b ct K G H"]:
    c, b, t, *rest = blocks.shape
    return jnp.moveaxis(blocks, 0, 1).reshape(b, c * t, *rest)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _attend(q, k, v, tokens: Tokens, ring: str, devices: int):
    """Of blocks (c b t K G H) of queries, (c b t K H) of keys and values: (c b t K G H)."""
    return _forward(q, k, v, tokens, ring, devices)[0]


def _forward(q, k, v, tokens, ring, devices):
    c, b, t, K, G, H = q.shape
    q, tokens = _bound(q, tokens)
    fresh = Running(
        jnp.zeros((c, b, K, G, t, H), jnp.float32),
        jnp.full((c, b, K, G, t), MASKED, jnp.float32),
        jnp.zeros((c, b, K, G, t), jnp.float32),
    )

    def turn(carry, _):
        travelling, running = carry
        arriving = _pass_on(travelling, ring, devices)  # while these are worked on

        def of_queries(block):
            mine, state = block
            return jax.lax.scan(lambda s, theirs: (_meet(s, mine, theirs), None), state, travelling)

        running, _ = jax.lax.map(of_queries, ((q, tokens), running))
        return (arriving, running), None

    (_, state), _ = jax.lax.scan(turn, ((k, v, tokens), fresh), length=devices)
    out = jnp.moveaxis(state.out / state.total[..., None], -2, 2).astype(q.dtype)
    log_total = checkpoint_name(state.top + jnp.log(state.total), ATTENTION)
    out = checkpoint_name(out, ATTENTION)
    return out, (q, k, v, tokens, out, log_total)


def _bound(x: Array, tokens: Tokens) -> tuple[Array, Tokens]:
    """Ties tokens to one layer's x: else all masks are hoisted out of the scan over layers."""
    return jax.lax.optimization_barrier((x, tokens))


def _pass_on(blocks, ring: str, devices: int):
    """Everything to the next device of the ring."""
    pairs = [(i, (i + 1) % devices) for i in range(devices)]
    return jax.tree.map(lambda x: jax.lax.ppermute(x, ring, pairs), blocks)


def _where_seen(there: Tokens, here: Tokens, work, state):
    """work(state), unless all the keys `there` come after all the queries `here`."""
    future = here.place.max() < there.place.min()
    return jax.lax.cond(future, lambda state: state, work, state)


def _scores(q, k, here: Tokens, there: Tokens) -> Float[Array, "b K G t s"]:
    scores = jnp.einsum("BTKGH,BSKH->BKGTS", q, k, preferred_element_type=jnp.float32)
    seen = here.segment[:, :, None] == there.segment[:, None, :]
    seen &= here.place[:, None] >= there.place
    return jnp.where(seen[:, None, None], scores * q.shape[-1] ** -0.5, MASKED)


def _meet(running: Running, queries, keys) -> Running:
    """A block of queries meets a block of keys and values."""
    (q, here), (k, v, there) = queries, keys

    def work(running):
        scores = _scores(q, k, here, there)
        top = jnp.maximum(running.top, scores.max(axis=-1))
        # A query that has met nothing it sees has weights 1 here; the next it sees makes them 0.
        weights = jnp.exp(scores - top[..., None])
        less = jnp.exp(running.top - top)
        more = _product("BKGTS,BSKH->BKGTH", weights.astype(v.dtype), v)
        total = running.total * less + weights.sum(axis=-1)
        return Running(running.out * less[..., None] + more, top, total)

    return _where_seen(there, here, work, running)


_product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def _backward(ring, devices, kept, d_out):
    """Scores are made again from the kept log of their sum; gradients travel with their keys."""
    q, k, v, tokens, out, log_total = kept
    d_out, tokens = _bound(d_out, tokens)
    delta = jnp.einsum("cBTKGH,cBTKGH->cBKGT", d_out, out, preferred_element_type=jnp.float32)
    queries = (q, tokens, d_out, log_total, delta)

    def turn(carry, _):
        travelling, d_q = carry

        def of_keys(d_q, block):
            keys, d_keys = block
            d_keys, d_q = jax.lax.scan(
                lambda d_keys, mine: _meet_back(keys, d_keys, *mine), d_keys, (queries, d_q)
            )
            return d_q, (keys, d_keys)

        d_q, travelling = jax.lax.scan(of_keys, d_q, travelling)
        return (_pass_on(travelling, ring, devices), d_q), None

    zeros = [jnp.zeros(x.shape, jnp.float32) for x in (q, k, v)]
    start = (((k, v, tokens), tuple(zeros[1:])), zeros[0])
    ((_, (d_k, d_v)), d_q), _ = jax.lax.scan(turn, start, length=devices)
    return d_q.astype(q.dtype), d_k.astype(k.dtype), d_v.astype(v.dtype), None


def _meet_back(keys, d_keys, queries, d_q):
    """((d_k, d_v), d_q) with what one block of queries and one of keys add to them."""
    (k, v, there), (q, here, d_out, log_total, delta) = keys, queries

    def work(gradients):
        (d_k, d_v), d_q = gradients
        weights = jnp.exp(_scores(q, k, here, there) - log_total[..., None])
        d_weights = _product("BTKGH,BSKH->BKGTS", d_out, v)
        d_scores = (weights * (d_weights - delta[..., None]) * q.shape[-1] ** -0.5).astype(q.dtype)
        d_v += _product("BKGTS,BTKGH->BSKH", weights.astype(v.dtype), d_out)
        d_k += _product("BKGTS,BTKGH->BSKH", d_scores, q)
        return (d_k, d_v), d_q + _product("BKGTS,BSKH->BTKGH", d_scores, k)

    return _where_seen(there, here, work, (d_keys, d_q))


_attend.defvjp(_forward, _backward)
