"""Packed attention over a sequence split across TPU chips: a ring of the splash kernel.

Chips hold a row's columns in zigzag order (`ring.zigzag`): chip i of n has an early part and a late
part. Against its own keys a chip's queries are causal. Of keys that came from chip j, all queries
see the early part where j < i, and late queries see both parts where j > i: every step after the
first has as many pairs of tokens on every chip, and no mask but that of the segments. A step's
kernel returns log-sums of its scores, by which the steps' outputs are merged; the backward kernels
take the log-sums of all steps (Liu, Zaharia, Abbeel 2023; Dao 2023, section 3).
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel as kernel,
)
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_mask as masks,
)
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from codex_jax.model.attention import splash
from codex_jax.model.attention.core import ATTENTION, Attend
from codex_jax.model.attention.ring import send_to_next


class Ring(NamedTuple):
    """Mesh axis of the ring and the number of its chips; `interpret` runs kernels in Python."""

    axis: str
    devices: int
    interpret: bool


class Keys(NamedTuple):
    """Keys, values and segments of b rows and t columns, which travel around the ring."""

    k: Float[Array, "b K t H"]
    v: Float[Array, "b K t H"]
    segments: Any  # (b, t) of int32; None in gradients


class Queries(NamedTuple):
    """Queries and segments of b rows and t columns."""

    q: Float[Array, "b N t H"]
    segments: Any  # (b, t) of int32; None in gradients


class Outputs(NamedTuple):
    """Attention to the keys visited so far, and the log-sums of its scores; both in f32."""

    out: Float[Array, "b N t H"]
    log_total: Float[Array, "b N t"]


def fits(length: int, devices: int) -> bool:
    """Whether the kernel takes the 2·devices parts of rows of this length."""
    return length % (2 * devices) == 0 and splash.fits(length // (2 * devices))


def ring_splash_attention(
    segment_ids: Int[Array, "B T"],
    *,
    mesh: Mesh,
    rows: tuple[str, ...],
    columns: str,
    heads: tuple[str, ...],
    interpret: bool = False,
) -> Attend:
    """Computes `packed_attention` of columns in `zigzag` order, without a cache.

    Args:
      segment_ids: in zigzag order, as q, k and v are.
      mesh: chips over which the arrays are split.
      rows: mesh axes over which B is split.
      columns: the mesh axis over which T is split.
      heads: mesh axes over which N and K are split.
      interpret: run the kernel's Python on any device, for tests.
    """
    ring = Ring(columns, mesh.shape[columns], interpret)
    split = PartitionSpec(rows, heads, columns, None)

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(split, split, split, PartitionSpec(rows, columns)),
        out_specs=split,
        check_vma=False,
    )
    def local(q, k, v, segments):
        return _attend(Queries(q, segments), Keys(k, v, segments), ring)

    return splash.head_major(lambda q, k, v: local(q, k, v, segment_ids))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _attend(queries: Queries, keys: Keys, ring: Ring) -> Float[Array, "b N t H"]:
    """Attention of a chip's queries to the keys of all chips of the ring."""
    return _forward(queries, keys, ring)[0]


def _forward(queries: Queries, keys: Keys, ring: Ring):
    own = _attend_part(queries, keys, masks.CausalMask, ring)

    def visit(carry, step):
        present, outputs = carry
        following = _send(present, ring)  # while the present ones are computed with
        update = functools.partial(_merge_step, queries, present, ring)
        return (following, _by_side(step, ring, update)(outputs)), None

    steps = jnp.arange(1, ring.devices)
    (_, outputs), _ = jax.lax.scan(visit, (_send(keys, ring), own), steps)
    out = checkpoint_name(outputs.out.astype(queries.q.dtype), ATTENTION)
    log_total = checkpoint_name(outputs.log_total, ATTENTION)
    return out, (queries, keys, out, log_total)


def _send(arrays: Any, ring: Ring) -> Any:
    return send_to_next(arrays, ring.axis, ring.devices)


def _by_side(step: Array, ring: Ring, update):
    """update(early, state), where `early`: the keys of this step come from before this chip's."""
    is_early = jax.lax.axis_index(ring.axis) >= step
    early, late = (functools.partial(update, side) for side in (True, False))
    return lambda state: jax.lax.cond(is_early, early, late, state)


def _halves(x: Array, axis: int) -> tuple[Array, Array]:
    """The early and the late part of a chip's columns."""
    early, late = jnp.split(x, 2, axis=axis)
    return early, late


def _visible(queries: Queries, keys: Keys, early: bool) -> tuple[Queries, Keys]:
    """Queries and keys of a step that see one another but for their segments."""
    if early:
        parts = (_halves(keys.k, 2)[0], _halves(keys.v, 2)[0], _halves(keys.segments, 1)[0])
        return queries, Keys(*parts)
    return _late(queries), keys


def _late(queries: Queries) -> Queries:
    """Those of a chip's late part."""
    return Queries(_halves(queries.q, 2)[1], _halves(queries.segments, 1)[1])


def _merge_step(queries, keys, ring, early: bool, outputs: Outputs) -> Outputs:
    """Merges a step's attention into that to the keys visited before."""
    step = _attend_part(*_visible(queries, keys, early), masks.FullMask, ring)
    if early:
        return _merge(outputs, step)
    pairs = [_halves(x, 2) for x in outputs]
    late = _merge(Outputs(*(late for _, late in pairs)), step)
    return Outputs(
        *(jnp.concatenate([e, x], axis=2) for (e, _), x in zip(pairs, late, strict=True))
    )


def _merge(a: Outputs, b: Outputs) -> Outputs:
    """Attention to the keys of both, weighted by the sums of their scores."""
    log_total = jnp.logaddexp(a.log_total, b.log_total)
    of_a, of_b = (jnp.exp(x.log_total - log_total)[..., None] for x in (a, b))
    return Outputs(of_a * a.out + of_b * b.out, log_total)


def _kernel(queries: Queries, keys: Keys, mask: Any, ring: Ring) -> Any:
    lengths = queries.q.shape[2], keys.k.shape[2]
    return splash.make_kernel(
        mask(lengths), queries.q.shape[1], save_residuals=True, interpret=ring.interpret
    )


def _attend_part(queries: Queries, keys: Keys, mask: Any, ring: Ring) -> Outputs:
    """Attention to some keys, with its log-sums."""
    ids = kernel.SegmentIds(q=queries.segments, kv=keys.segments)
    attention = jax.vmap(_kernel(queries, keys, mask, ring))
    out, (log_total,) = attention(queries.q, keys.k, keys.v, segment_ids=ids)
    return Outputs(out.astype(jnp.float32), log_total)


class Gradients(NamedTuple):
    """Gradients of a chip's q and of the k and v that it holds, in f32."""

    q: Float[Array, "b N t H"]
    k: Float[Array, "b K t H"]
    v: Float[Array, "b K t H"]


class Residuals(NamedTuple):
    """Queries with what the forward pass left of them, and the gradient of their output."""

    queries: Queries
    out: Float[Array, "b N t H"]
    log_total: Float[Array, "b N t"]
    d_out: Float[Array, "b N t H"]

    def late(self) -> "Residuals":
        """Those of the late part."""
        return Residuals(_late(self.queries), *(_halves(x, 2)[1] for x in self[1:]))


def _backward(ring: Ring, residuals, d_out):
    """Recomputes scores from all keys' log-sums; gradients of keys travel with their keys."""
    queries, keys, out, log_total = residuals
    residuals = Residuals(queries, out, log_total, d_out)
    own = _differentiate_part(residuals, keys, masks.CausalMask, ring)

    def visit(carry, step):
        present, gradients = carry
        following = _send(present, ring)
        d_k, d_v = _send((gradients.k, gradients.v), ring)  # beside the kernels, as the keys
        update = functools.partial(_differentiate_step, residuals, present, ring)
        gradients = _by_side(step, ring, update)(Gradients(gradients.q, d_k, d_v))
        return (following, gradients), None

    steps = jnp.arange(1, ring.devices)
    (_, gradients), _ = jax.lax.scan(visit, (_send(keys, ring), own), steps)
    d_k, d_v = _send((gradients.k, gradients.v), ring)  # home
    d_q, d_k, d_v = (
        d.astype(x.dtype)
        for d, x in zip((gradients.q, d_k, d_v), (queries.q, keys.k, keys.v), strict=True)
    )
    return Queries(d_q, None), Keys(d_k, d_v, None)


def _differentiate_step(residuals, keys, ring, early: bool, gradients: Gradients) -> Gradients:
    """Adds a step's gradients to those of the columns that they belong to."""
    visible = residuals if early else residuals.late()
    keys = _visible(residuals.queries, keys, early)[1]
    step = _differentiate_part(visible, keys, masks.FullMask, ring)
    return Gradients(*(_add(a, b, early) for a, b in zip(gradients, step, strict=True)))


def _add(sums: Array, part: Array, early: bool) -> Array:
    """Adds a part of the columns, or all of them."""
    missing = sums.shape[2] - part.shape[2]
    before, after = (0, missing) if early else (missing, 0)
    return sums + jnp.pad(part, ((0, 0), (0, 0), (before, after), (0, 0)))


def _differentiate_part(residuals: Residuals, keys: Keys, mask: Any, ring: Ring) -> Gradients:
    """Gradients of the scores of some queries and keys."""
    backward = _backward_kernel(_kernel(residuals.queries, keys, mask, ring))
    gradients = jax.vmap(backward)(residuals, keys)
    return Gradients(*(x.astype(jnp.float32) for x in gradients))


def _backward_kernel(attention: Any):
    """The kernel's backward pass of a row, whose log-sums may include other keys.

    jax offers it only behind the forward kernel, which knows no log-sums but its own.
    """
    settings = {**attention.kwargs, "save_residuals": False}

    def backward(residuals: Residuals, keys: Keys):
        (q, segments), out, log_total, d_out = residuals
        ids = kernel.SegmentIds(q=segments, kv=keys.segments)
        forward = (q, keys.k, keys.v, ids, None, out, log_total)
        masks_of_passes = (attention.dq_mask_info, attention.dkv_mask_info)
        results = kernel._splash_attention_bwd(
            **settings, res=(*forward, *masks_of_passes), do=d_out
        )
        return results[3:6]

    return backward


_attend.defvjp(_forward, _backward)
