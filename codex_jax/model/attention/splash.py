"""Packed attention on TPU: the splash kernel, that never holds the scores and skips masked blocks.

The kernel sees one device's rows and heads, so it runs under shard_map; where they lie is the
caller's to say, in mesh axes.
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

_BLOCK = 512  # rows and columns of the scores at hand at a time
_LANES = 128  # a block's sides must be multiples of it


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
    """What `packed_attention` computes, by the kernel: causal, within segments, no cache.

    Args:
      rows: mesh axes over which B is split.
      heads: mesh axes over which N and K are split.
      interpret: run the kernel's Python on any device, for tests.
    """
    length = segment_ids.shape[1]
    spread = PartitionSpec(rows, heads, None, None)

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(spread, spread, spread, PartitionSpec(rows, None)),
        out_specs=spread,
        check_vma=False,
    )
    def local(q, k, v, segments):
        attention = _kernel(q.shape[1], length, interpret)
        ids = kernel.SegmentIds(q=segments, kv=segments)
        return jax.vmap(attention)(q, k, v, segment_ids=ids)

    def attend(q, k, v, cache, layer):
        del layer
        size = q.shape[-1]
        q, k, v = (_padded(jnp.swapaxes(x, 1, 2)) for x in (q * size**-0.5, k, v))
        return jnp.swapaxes(local(q, k, v, segment_ids), 1, 2)[..., :size], cache

    return attend


def _padded(x: Float[Array, "B N T H"]) -> Float[Array, "B N T J"]:
    """Heads filled up with zeros to whole lanes, which change no score."""
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, -x.shape[-1] % _LANES)))


def _kernel(heads: int, length: int, interpret: bool):
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
