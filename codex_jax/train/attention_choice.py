"""Choice of the attention of a step.

columns split over context n   ring attention: on TPU of the splash kernel (rows of 256·n·m tokens)
TPU, rows of 128·m tokens      splash, a Pallas kernel
NVIDIA from Ampere on, bf16    cuDNN's kernel
all else                       tiles of queries by XLA, which store no scores

All of them attend within packed segments.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from codex_jax import sharding
from codex_jax.model.attention import cudnn, ring_splash
from codex_jax.model.attention.core import Attend, packed_attention
from codex_jax.model.attention.ring import ring_attention, zigzag
from codex_jax.model.attention.splash import fits, splash_attention
from codex_jax.model.attention.tiled import tiled_attention

# A Batch or PolicyBatch -> it with its columns in the order that attention requires, and `attend`.
Attention = Callable[[Any], tuple[Any, Attend]]


def unsharded_attention(batch: Any) -> tuple[Any, Attend]:
    """Attention by XLA that stores the scores of full rows, for one device."""
    return batch, packed_attention(batch.segment_ids)


def choose_attention(mesh: Mesh) -> Attention:
    """The fastest attention on a mesh, by the table above."""
    rows, (columns,), heads = (
        sharding.LOGICAL_TO_MESH[axis] for axis in ("batch", "sequence", "kv_heads")
    )
    device = mesh.devices.flat[0]

    def attention(batch: Any) -> tuple[Any, Attend]:
        length = batch.tokens.shape[1]
        if mesh.shape[columns] > 1:
            order = zigzag(length, mesh.shape[columns])
            ordered = batch._make(x[:, order] for x in batch)
            ordered = jax.lax.with_sharding_constraint(ordered, sharding.batch_sharding(mesh))
            on_tpu = device.platform == "tpu" and ring_splash.fits(length, mesh.shape[columns])
            ring = ring_splash.ring_splash_attention if on_tpu else ring_attention
            return ordered, ring(
                ordered.segment_ids, mesh=mesh, rows=rows, columns=columns, heads=heads
            )
        if device.platform == "tpu" and fits(length):
            return batch, splash_attention(batch.segment_ids, mesh=mesh, rows=rows, heads=heads)
        if cudnn.fits(device, length):
            lists = cudnn.choose_lists(device) if mesh.size == 1 else ()  # not tried on several
            return batch, cudnn.cudnn_attention(batch.segment_ids, lists)
        return batch, tiled_attention(batch.segment_ids)

    return attention
