"""Packed attention on NVIDIA GPUs: cuDNN's fused kernel, which never stores the scores."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Int

from codex_jax.model.attention.core import ATTENTION, Attend
from codex_jax.model.attention.tiled import tiled_attention

_AMPERE, _HOPPER = 8.0, 9.0  # compute capability: first with the kernel, with lists of segments
_HEAD_SIZES = range(8, 129, 8)
SEGMENTS = 8  # of a row, the most that are listed; rows with more have a mask


class Segments(NamedTuple):
    """Where a row's segments lie, padding being one; -1 where there is none.

    Attributes:
      lengths: tokens of each segment.
      starts: each segment's first token; one column more, of -1.
      are_listed: whether no row has more segments than there is room for.
    """

    lengths: Int[Array, "B M"]
    starts: Int[Array, "B M+1"]
    are_listed: Bool[Array, ""]


def list_segments(segment_ids: Int[Array, "B T"], most: int) -> Segments:
    """Lists runs of equal ids, `most` of a row."""
    begins = jnp.diff(segment_ids, axis=1, prepend=segment_ids[:, :1] - 1) != 0
    index = jnp.cumsum(begins, axis=1) - 1
    is_member = index[:, :, None] == jnp.arange(most)
    lengths = is_member.sum(axis=1, dtype=jnp.int32)
    starts = jnp.cumsum(lengths, axis=1) - lengths
    lengths, starts = (jnp.where(lengths > 0, x, -1) for x in (lengths, starts))
    starts = jnp.pad(starts, ((0, 0), (0, 1)), constant_values=-1)
    return Segments(lengths, starts, index.max() < most)


def fits(device: jax.Device, length: int) -> bool:
    """Whether the kernel runs on this device, for rows of this length."""
    if device.platform != "gpu" or "cuda" not in device.client.platform_version:
        return False
    return float(device.compute_capability) >= _AMPERE and length % 2 == 0


def listed_attention(q: Array, k: Array, v: Array, segments: Segments) -> Array:
    """Causal attention within the listed segments; what lies outside of them is skipped."""
    from jax._src.cudnn import fused_attention_stablehlo as fused

    lengths, starts, _ = segments
    return fused.dot_product_attention(
        q, k, v, None, None, lengths, lengths, starts, starts,
        scale=q.shape[-1] ** -0.5,
        mask_type=fused.MaskType.PADDING_CAUSAL,
    )  # fmt: skip


def masked_attention(q: Array, k: Array, v: Array, segment_ids: Int[Array, "B T"]) -> Array:
    """Causal attention within segments by a bias of B × T × T, one for all heads."""
    same_segment = segment_ids[:, None, :, None] == segment_ids[:, None, None, :]
    return jax.nn.dot_product_attention(
        q, k, v, mask=same_segment, is_causal=True, implementation="cudnn"
    )


@jax.custom_vjp
def _attention(q, k, v, segment_ids, segments):
    """Lists of segments where they have room, else a mask; no branch's values are stored twice."""
    return _forward(q, k, v, segment_ids, segments)[0]


def _statistics_shape(q, segments):
    return (q.shape[0] * segments.lengths.shape[1], q.shape[2], q.shape[1])


def _forward(q, k, v, segment_ids, segments):
    from jax._src.cudnn import fused_attention_stablehlo as fused

    lengths, starts, are_listed = segments

    def listed(q, k, v):
        return fused.dot_product_attention(
            q, k, v, None, None, lengths, lengths, starts, starts,
            scale=q.shape[-1] ** -0.5,
            mask_type=fused.MaskType.PADDING_CAUSAL,
            return_residual=True,
        )  # fmt: skip

    def masked(q, k, v):
        statistics = jnp.zeros(_statistics_shape(q, segments), jnp.float32)
        return masked_attention(q, k, v, segment_ids), statistics

    out, statistics = jax.lax.cond(are_listed, listed, masked, q, k, v)
    return out, (q, k, v, out, statistics, segment_ids, segments)


def _backward(residuals, d_out):
    from jax._src.cudnn import fused_attention_stablehlo as fused

    q, k, v, out, statistics, segment_ids, segments = residuals
    lengths, starts, are_listed = segments

    def listed(q, k, v, out, statistics, d_out):
        unused = jnp.zeros(0, q.dtype)
        saved = (q, k, v, unused, lengths, lengths, starts, starts, unused, unused, statistics, out)
        options = (q.shape[-1] ** -0.5, 42, 0.0, (False, False), fused.MaskType.PADDING_CAUSAL)
        layout = fused.AttentionLayout.BTNH.value
        gradients = fused._dot_product_attention_bwd_rule(
            *options, layout, None, 0, False, saved, d_out
        )
        return tuple(gradients[:3])

    def masked(q, k, v, out, statistics, d_out):
        del out, statistics  # computed again: few rows have so many segments
        attention = functools.partial(masked_attention, segment_ids=segment_ids)
        return jax.vjp(attention, q, k, v)[1](d_out)

    arguments = (q, k, v, out, statistics, d_out)
    gradients = jax.lax.cond(are_listed, listed, masked, *arguments)
    return *gradients, None, None


_attention.defvjp(_forward, _backward)


def cudnn_attention(segment_ids: Int[Array, "B T"]) -> Attend:
    """Computes `packed_attention` by the kernel: causal, within segments, without a cache.

    The kernel requires half precision and heads of 8·n numbers, 128 at most; other shapes are
    computed by tiles. Segments are masked by a bias of B × T × T, one for all heads and layers.
    """
    import os  # experiment: none, mask, list<M>, cond<M>

    tiled = tiled_attention(segment_ids)
    kind = os.environ.get("CODEX_ATTENTION", "mask")
    most = int(kind[4:] or 0) if kind[:4] in ("list", "cond") else 1
    segments = list_segments(segment_ids, most)

    def attend(q, k, v, cache, layer):
        if q.dtype not in (jnp.bfloat16, jnp.float16) or q.shape[-1] not in _HEAD_SIZES:
            return tiled(q, k, v, cache, layer)
        if kind.startswith("list"):
            out = listed_attention(q, k, v, segments)
        elif kind.startswith("cond"):
            out = _attention(q, k, v, segment_ids, segments)
        elif kind == "none":
            out = jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation="cudnn")
        else:
            out = masked_attention(q, k, v, segment_ids)
        return checkpoint_name(out, ATTENTION), cache

    return attend
