"""Precision, memory savers, and the compiled train step."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from codex_jax.model import DecoderConfig
from codex_jax.train.attention_choice import choose_attention
from codex_jax.train.lora import Lora
from codex_jax.train.step import train_step

# XLA for CPUs copies the optimizer's moments unless it looks at which of their readers runs last.
_IN_PLACE_OPTIONS = {"xla_cpu_copy_insertion_use_region_analysis": True}

# Options by which XLA's TPU compiler gathers weights while the layer before them is computed; by
# default it does so on v5e alone.
_OVERLAP_OPTIONS = {
    "xla_enable_async_all_gather": True,
    "xla_tpu_enable_async_collective_fusion": True,
    "xla_tpu_enable_async_collective_fusion_fuse_all_gather": True,
    "xla_tpu_overlap_compute_collective_tc": True,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compute:
    """Precision of a step, and its trade of time for memory.

    A resumed run may change what costs time or memory alone, which microbatches isn't.

    Args:
      dtype: Of activations and matrix products, "float32" or "bfloat16".
      param_dtype: Of the stored weights; "bfloat16" halves them, and loses updates below a 256th.
      microbatches: Number of parts of a batch, computed in sequence to save memory.
      loss_chunks: Number of chunks in which logits are computed, to save memory.
      overlap: On TPU, gather weights during computation; takes memory for the weights in flight.
      z_loss: Weight of log²Z in the loss (PaLM: 1e-4).
      remat: Values that the backward pass recomputes: "none"; "minimal" (all but matrix products
        and attention's result); "save_dots" (all but matrix products); "offload" (the same, stored
        in the host's memory); "full" (all but each block's input).
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    param_dtype: Literal["float32", "bfloat16"] = "float32"
    microbatches: int = 1
    loss_chunks: int = 1
    overlap: bool = True
    z_loss: float = 0.0
    remat: Literal["none", "minimal", "save_dots", "offload", "full"] = "none"


def jit_step(
    config: DecoderConfig,
    tx: optax.GradientTransformation,
    compute: Compute,
    mesh: Mesh,
    rate: optax.Schedule | None = None,
    *,
    lora: Lora = Lora(),
) -> Any:
    """Compiles train_step; the state is donated, so that it is in memory once."""
    options = {"z_loss": compute.z_loss, "rate": rate, "lora_scale": lora.scale}
    return jit_update(train_step, config, tx, compute, mesh, **options)


def _is_unrolled(compute: Compute, mesh: Mesh) -> bool:
    """Whether the layers are compiled as straight-line code, which copies nothing into stacks.

    Not where values are recomputed: without a loop XLA merges a block with its recomputation, and
    no memory is saved. Nor on several CPU devices, which serve to test meshes.
    """
    platform = mesh.devices.flat[0].platform
    suits = platform == "gpu" or (platform == "cpu" and mesh.size == 1)
    return suits and compute.remat == "none"


def jit_update(
    update: Callable[..., Any],
    config: DecoderConfig,
    tx: optax.GradientTransformation,
    compute: Compute,
    mesh: Mesh,
    **options: Any,
) -> Any:
    """Compiles a step (state, batch) → (state, metrics) with a run's options and its own."""
    platform = mesh.devices.flat[0].platform
    step = functools.partial(
        update,
        config=config,
        tx=tx,
        microbatches=compute.microbatches,
        dtype=jnp.dtype(compute.dtype),
        chunks=compute.loss_chunks,
        remat=compute.remat,
        unroll=_is_unrolled(compute, mesh),
        attention=choose_attention(mesh),
        mesh=mesh,
        **options,
    )
    options_of = {"cpu": _IN_PLACE_OPTIONS, "tpu": _OVERLAP_OPTIONS if compute.overlap else None}
    return jax.jit(step, donate_argnums=0, compiler_options=options_of.get(platform))
