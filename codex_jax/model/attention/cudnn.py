"""Packed attention on NVIDIA GPUs: cuDNN's fused kernel, which never stores the scores.

Three ways to keep segments apart, the first that a step's rows allow: none, where every row is one
segment; lists of where segments lie, so that the kernel skips what lies outside of them; a bias of
B × T × T, which any rows allow. All are compiled, and a step's segments choose.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int

from codex_jax.model.attention.core import ATTENTION, Attend
from codex_jax.model.attention.tiled import tiled_attention

_AMPERE, _HOPPER = 8.0, 9.0  # compute capability: first with the kernel, with lists of segments
_HEAD_SIZES = range(8, 129, 8)
_GROUPED = (0, 11, 2)  # jax whose lists are known to serve grouped heads; 0.10 misplaces queries
LISTS = (8, 16)  # segments of a row that a list has room for; the kernel's time grows with it


def fits(device: jax.Device, length: int) -> bool:
    """Whether the kernel runs on this device, for rows of this length."""
    if device.platform != "gpu" or "cuda" not in device.client.platform_version:
        return False
    return float(device.compute_capability) >= _AMPERE and length % 2 == 0


def choose_lists(device: jax.Device) -> tuple[int, ...]:
    """Sizes of the lists of segments that the device's kernel takes; none before Hopper."""
    return LISTS if float(device.compute_capability) >= _HOPPER else ()


class _Segments(NamedTuple):
    """How the kernel keeps segments apart; what it isn't given is None.

    Attributes:
      bias: 0 where a token sees another of its segment, else a large negative number.
      lengths: tokens of each segment of a row, -1 where there is none.
      starts: each segment's first token; one column more, of -1.
    """

    bias: Float[Array, "B 1 T T"] | None = None
    lengths: Int[Array, "B M"] | None = None
    starts: Int[Array, "B M+1"] | None = None


def _run_index(segment_ids: Int[Array, "B T"]) -> Int[Array, "B T"]:
    """Number of each token's run of equal ids in its row, from 0; padding is a run, too."""
    begins = jnp.diff(segment_ids, axis=1, prepend=segment_ids[:, :1]) != 0
    return jnp.cumsum(begins, axis=1)


def list_segments(segment_ids: Int[Array, "B T"], most: int) -> _Segments:
    """Lists the first `most` runs of equal ids of each row."""
    is_member = _run_index(segment_ids)[:, :, None] == jnp.arange(most)
    lengths = is_member.sum(axis=1, dtype=jnp.int32)
    starts = jnp.cumsum(lengths, axis=1) - lengths
    lengths, starts = (jnp.where(lengths > 0, x, -1) for x in (lengths, starts))
    return _Segments(None, lengths, jnp.pad(starts, ((0, 0), (0, 1)), constant_values=-1))


def choose_way(segment_ids: Int[Array, "B T"], lists: tuple[int, ...]) -> Int[Array, ""]:
    """0 where every row is one segment, n where they fit the n-th list, else one more.

    Lists don't serve segments in pieces, which no packing makes.
    """
    index = _run_index(segment_ids)
    way = (index.max() + 1 > jnp.asarray((1, *lists))).sum()
    if not lists:
        return way
    starts = jnp.asarray(list_segments(segment_ids, max(lists)).starts)[:, :-1]
    ids = jnp.take_along_axis(segment_ids, jnp.maximum(starts, 0), axis=1)
    is_same = (ids[:, :, None] == ids[:, None]) & (starts[:, :, None] > starts[:, None])
    in_pieces = (is_same & (starts[:, None] >= 0)).any()
    return jnp.where(in_pieces, len(lists) + 1, way)


def _bias(segment_ids: Int[Array, "B T"], dtype: Any) -> Float[Array, "B 1 T T"]:
    from jax._src.cudnn.fused_attention_stablehlo import get_large_negative_number

    same = segment_ids[:, None, :, None] == segment_ids[:, None, None, :]
    return jnp.where(same, jnp.zeros((), dtype), get_large_negative_number(jnp.dtype(dtype)))


def _forward_kernel(q, k, v, segments: _Segments) -> tuple[Array, Array]:
    """(out, log-sums of scores (B·M, N, T))."""
    from jax._src.cudnn import fused_attention_stablehlo as fused

    bias, lengths, starts = segments
    return fused.dot_product_attention(
        q, k, v, bias, None, lengths, lengths, starts, starts,
        scale=q.shape[-1] ** -0.5,
        mask_type=_mask_type(fused, segments),
        return_residual=True,
    )  # fmt: skip


def _mask_type(fused: Any, segments: _Segments) -> Any:
    is_list = segments.lengths is not None
    return fused.MaskType.PADDING_CAUSAL if is_list else fused.MaskType.CAUSAL


def _backward_kernel(q, k, v, out, log_total, d_out, segments: _Segments) -> tuple:
    """Gradients of q, k and v; jax offers it only behind its own forward pass."""
    from jax._src.cudnn import fused_attention_stablehlo as fused

    none = jnp.zeros(0, q.dtype)
    bias, lengths, starts = (none if x is None else x for x in segments)
    gradients = fused._dot_product_attention_bwd_rule(
        q.shape[-1] ** -0.5,
        42,  # seed and rate of dropout
        0.0,
        (segments.bias is not None, False),  # no gradient of the bias
        _mask_type(fused, segments),
        fused.AttentionLayout.BTNH.value,
        None,  # no window
        True,
        False,
        (q, k, v, bias, lengths, lengths, starts, starts, none, none, log_total, out),
        d_out,
    )
    return tuple(gradients[:3])


def _room(x: Float[Array, "rooms N T"], rows: int, most: int) -> Float[Array, "places N T"]:
    """Log-sums with room for `most` segments of a row, or cut to so many."""
    x = x.reshape(rows, -1, *x.shape[1:])
    missing = max(0, most - x.shape[1])
    x = jnp.pad(x, ((0, 0), (0, missing), (0, 0), (0, 0)))[:, :most]
    return x.reshape(-1, *x.shape[2:])


@jax.custom_vjp
def _attend(q, k, v, way: Int[Array, ""], ways: list[_Segments]) -> Array:
    return _forward(q, k, v, way, ways)[0]


def _count(segments: _Segments) -> int:
    """Segments of a row that have log-sums of their own."""
    return 1 if segments.lengths is None else segments.lengths.shape[1]


def _forward(q, k, v, way, ways):
    most = max(map(_count, ways))

    def run(segments, q, k, v):
        out, log_total = _forward_kernel(q, k, v, segments)
        return out, _room(log_total, len(q), most)

    branches = [functools.partial(run, segments) for segments in ways]
    results = jax.lax.switch(way, branches, q, k, v)
    out, log_total = (checkpoint_name(x, ATTENTION) for x in results)
    return out, (q, k, v, out, log_total, way, ways)


def _backward(residuals, d_out):
    q, k, v, out, log_total, way, ways = residuals

    def run(segments, q, k, v, out, log_total, d_out):
        log_total = _room(log_total, len(q), _count(segments))
        return _backward_kernel(q, k, v, out, log_total, d_out, segments)

    branches = [functools.partial(run, segments) for segments in ways]
    gradients = jax.lax.switch(way, branches, q, k, v, out, log_total, d_out)
    return *gradients, None, None


_attend.defvjp(_forward, _backward)


def cudnn_attention(segment_ids: Int[Array, "B T"], lists: tuple[int, ...] = ()) -> Attend:
    """Computes `packed_attention` by the kernel: causal, within segments, without a cache.

    The kernel requires half precision and heads of 8·n numbers, 128 at most; other shapes are
    computed by tiles.

    Args:
      segment_ids: document of each token; 0 is padding.
      lists: sizes of the lists of segments, from `choose_lists`, in ascending order.
    """
    tiled = tiled_attention(segment_ids)
    way = {sizes: choose_way(segment_ids, sizes) for sizes in ((), lists)}
    lists_of = {size: list_segments(segment_ids, size) for size in lists}

    def attend(q, k, v, cache, layer):
        if q.dtype not in (jnp.bfloat16, jnp.float16) or q.shape[-1] not in _HEAD_SIZES:
            return tiled(q, k, v, cache, layer)
        is_grouped = q.shape[2] != k.shape[2]
        usable = () if is_grouped and jax.__version_info__ < _GROUPED else lists
        bias = _Segments(_bias(segment_ids, q.dtype))
        ways = [_Segments(), *(lists_of[size] for size in usable), bias]
        return _attend(q, k, v, way[usable], ways), cache

    return attend
