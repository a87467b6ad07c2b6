"""Packed attention on TPU: the splash kernel, which stores no scores and skips masked blocks.

The kernel sees one device's rows and heads, so it runs under shard_map; the caller names the mesh
axes over which they are split.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel as kernel,
)
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_mask as masks,
)
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from codex_jax.model.attention.core import ATTENTION, Attend

_BLOCK = 512  # queries, and keys, of a block of scores
_LANES = 128  # a block's sides are multiples of this


def fits(length: int) -> bool:
    """Whether the kernel takes sequences of this length."""
    return length % _LANES == 0


def splash_attention(
    segment_ids: Int[Array, "B T"],
    *,
    mesh: Mesh,
    rows: tuple[str, ...],
    heads: tuple[str, ...],
    interpret: bool = False,
) -> Attend:
    """Computes `packed_attention` by the kernel: causal, within segments, without a cache.

    Args:
      segment_ids: document of each token; 0 is padding.
      mesh: devices over which the arrays are split.
      rows: mesh axes over which B is split.
      heads: mesh axes over which N and K are split.
      interpret: run the kernel's Python on any device, for tests.
    """
    length = segment_ids.shape[1]
    split = PartitionSpec(rows, heads, None, None)

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(split, split, split, PartitionSpec(rows, None)),
        out_specs=split,
        check_vma=False,
    )
    def local(q, k, v, segments):
        attention = make_kernel(masks.CausalMask((length, length)), q.shape[1], interpret=interpret)
        ids = kernel.SegmentIds(q=segments, kv=segments)
        return jax.vmap(attention)(q, k, v, segment_ids=ids)

    return head_major(lambda q, k, v: local(q, k, v, segment_ids))


def head_major(attention: Callable[[Array, Array, Array], Array]) -> Attend:
    """Calls attention(q, k, v) with the kernel's scaled, padded (B, N, T, J), without a cache."""

    def attend(q, k, v, cache, layer):
        del layer
        size = q.shape[-1]
        q, k, v = (_pad_heads(jnp.swapaxes(x, 1, 2)) for x in (q * size**-0.5, k, v))
        return jnp.swapaxes(attention(q, k, v), 1, 2)[..., :size], cache

    return attend


def _pad_heads(x: Float[Array, "B N T H"]) -> Float[Array, "B N T J"]:
    """Pads heads with zeros to full lanes, which changes no score."""
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, -x.shape[-1] % _LANES)))


def make_kernel(
    mask: masks.Mask, heads: int, *, save_residuals: bool = False, interpret: bool = False
) -> kernel.SplashAttentionKernel:
    """The kernel of a row.

    Args:
      mask: of (queries, keys); each a multiple of 128.
      heads: of the queries.
      save_residuals: return (out, (log-sums of scores,)), which can't be differentiated.
      interpret: run the kernel's Python on any device.
    """
    q, kv = (math.gcd(_BLOCK, length) for length in mask.shape)
    sizes = kernel.BlockSizes(
        block_q=q,
        block_kv=kv,
        block_kv_compute=kv,
        block_q_dkv=q,
        block_kv_dkv=kv,
        block_kv_dkv_compute=kv,
        block_q_dq=q,
        block_kv_dq=kv,
    )
    return kernel.make_splash_mha(
        masks.MultiHeadMask([mask] * heads),
        block_sizes=sizes,
        head_shards=1,
        q_seq_shards=1,
        save_residuals=save_residuals,
        residual_checkpoint_name=None if save_residuals else ATTENTION,
        interpret=interpret,
    )
