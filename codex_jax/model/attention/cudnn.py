"""Packed attention on NVIDIA GPUs: cuDNN's fused kernel, which never stores the scores."""

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Int

from codex_jax.model.attention.core import ATTENTION, Attend
from codex_jax.model.attention.tiled import tiled_attention

_AMPERE = 8.0  # compute capability of the first generation that has the kernel
_HEAD_SIZES = range(8, 129, 8)


def fits(device: jax.Device, length: int) -> bool:
    """Whether the kernel runs on this device, for rows of this length."""
    if device.platform != "gpu" or "cuda" not in device.client.platform_version:
        return False
    return float(device.compute_capability) >= _AMPERE and length % 2 == 0


def cudnn_attention(segment_ids: Int[Array, "B T"]) -> Attend:
    """Computes `packed_attention` by the kernel: causal, within segments, without a cache.

    The kernel requires half precision and heads of 8·n numbers, 128 at most; other shapes are
    computed by tiles. Segments are masked by a bias of B × T × T, one for all heads and layers.
    """
    same_segment = segment_ids[:, None, :, None] == segment_ids[:, None, None, :]
    tiled = tiled_attention(segment_ids)

    def attend(q, k, v, cache, layer):
        if q.dtype not in (jnp.bfloat16, jnp.float16) or q.shape[-1] not in _HEAD_SIZES:
            return tiled(q, k, v, cache, layer)
        out = jax.nn.dot_product_attention(
            q, k, v, mask=same_segment, is_causal=True, implementation="cudnn"
        )
        return checkpoint_name(out, ATTENTION), cache

    return attend
