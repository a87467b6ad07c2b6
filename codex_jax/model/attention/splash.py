"""Packed attention on TPU: the splash kernel, which stores no scores and skips masked blocks.

The kernel sees one device's rows and heads, so it runs under shard_map; the caller names the mesh
axes over which they are split.
"""

import functools
import math

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
        attention = _kernel(q.shape[1], length, interpret)
        ids = kernel.SegmentIds(q=segments, kv=segments)
        return jax.vmap(attention)(q, k, v, segment_ids=ids)

    def attend(q, k, v, cache, layer):
        del layer
        size = q.shape[-1]
        q, k, v = (_pad_heads(jnp.swapaxes(x, 1, 2)) for x in (q * size**-0.5, k, v))
        return jnp.swapaxes(local(q, k, v, segment_ids), 1, 2)[..., :size], cache

    return attend


def _pad_heads(x: Float[Array, "B N T H"]) -> Float[Array, "B N T J"]:
    """Pads heads with zeros to full lanes, which changes no score."""
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, -x.shape[-1] % _LANES)))


def _kernel(heads: int, length: int, interpret: bool):
    """The causal kernel for these sizes."""
    block = math.gcd(_BLOCK, length)
    sizes = kernel.BlockSizes(
        block_q=block,
        block_kv=block,
        block_kv_compute=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        block_kv_dkv_compute=block,
        block_q_dq=block,
        block_kv_dq=block,
    )
    causal = masks.MultiHeadMask([masks.CausalMask((length, length))] * heads)
    return kernel.make_splash_mha(
        causal,
        block_sizes=sizes,
        head_shards=1,
        q_seq_shards=1,
        residual_checkpoint_name=ATTENTION,
        interpret=interpret,
    )
