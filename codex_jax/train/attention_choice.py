"""Which attention a step uses.

columns split over context     ring attention, on any platform
TPU, rows of 128·n tokens      splash, a Pallas kernel
NVIDIA from Ampere on, bf16    cuDNN's kernel
all else                       tiles of queries by XLA, that keep no scores

All see packed segments.
"""

from collections.abc import Callable

import jax
from jax.sharding import Mesh

from codex_jax import model, sharding
from codex_jax.model.attention import cudnn
from codex_jax.model.attention.core import Attend, packed_attention
from codex_jax.model.attention.ring import ring_attention, zigzag
from codex_jax.model.attention.splash import fits, splash_attention
from codex_jax.model.attention.tiled import tiled_attention
from codex_jax.records import Batch

# A batch -> the batch, its columns in the order that attention wants them in, and `attend`.
Attention = Callable[[Batch], tuple[Batch, Attend]]


def plain(batch: Batch) -> tuple[Batch, Attend]:
    """XLA's attention, that holds the scores of whole rows."""
    return batch, packed_attention(batch.segment_ids)


def attention_on(mesh: Mesh, config: model.DecoderConfig) -> Attention:
    """The fastest on a mesh, by the table above."""
    rows, (columns,), heads = (
        sharding.LOGICAL_TO_MESH[axis] for axis in ("batch", "sequence", "kv_heads")
    )
    device = mesh.devices.flat[0]

    def attention(batch: Batch):
        length = batch.tokens.shape[1]
        if mesh.shape[columns] > 1:
            order = zigzag(length, mesh.shape[columns])
            dealt = Batch(*(x[:, order] for x in batch))
            dealt = jax.lax.with_sharding_constraint(dealt, sharding.batch_sharding(mesh))
            ring = ring_attention(
                dealt.segment_ids, mesh=mesh, rows=rows, columns=columns, heads=heads
            )
            return dealt, ring
        if device.platform == "tpu" and fits(length):
            return batch, splash_attention(batch.segment_ids, mesh=mesh, rows=rows, heads=heads)
        if cudnn.fits(device, length):
            return batch, cudnn.cudnn_attention(batch.segment_ids)
        return batch, tiled_attention(batch.segment_ids)

    return attention
