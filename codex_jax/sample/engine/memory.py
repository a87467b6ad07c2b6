"""Sizes that suit the devices: the attention kernel, and prompts that their memory holds."""

import dataclasses
import math
from typing import Any

import jax
from jax.sharding import Mesh

from codex_jax import InputError, model
from codex_jax.host_runtime import usable_memory
from codex_jax.sample.engine import flat_cache, shardings
from codex_jax.sample.engine.state import EngineShape, init_state

_SHARE = 0.75  # of the memory, up to which prompts beside weights and rows stay resident
_MOST = 0.9  # of the memory; the rest is for a program's temporaries


def fit_to_devices(
    config: model.DecoderConfig,
    shape: EngineShape,
    mesh: Mesh,
    memory: int | None = None,
    *,
    held: int = 0,
) -> EngineShape:
    """Returns the shape for these devices: their attention kernel, and the prompts that they hold.

    As many of the planned prompts stay resident as the memory holds, at least one. With fewer than
    fill the rows some rows are idle; samples stay the same.

    Args:
      config: The model's.
      shape: Sizes that `plan` chose.
      mesh: Devices.
      memory: Bytes of each device; None looks them up, and changes nothing where they are unknown.
      held: Bytes of each device that something else takes, such as a trainer.

    Raises:
      InputError: weights, rows and one prompt need too much memory.
    """
    if kernel := flat_cache.choose_kernel(config, shape.dtype, shape.kv_cache_dtype, mesh):
        shape = dataclasses.replace(shape, flat_cache=kernel)
    memory = _device_memory(mesh) if memory is None else memory
    if not memory:
        return shape
    others, per_prompt = _needs(config, shape, mesh)
    others += held
    if others + per_prompt > _MOST * memory:
        parts = f"{held / 1e9:.3g} GB of training, weights" if held else "weights"
        raise InputError(
            f"{parts}, {shape.rows} samples of up to {shape.positions} tokens at a time and one "
            f"prompt of {shape.max_prompt_tokens} need {(others + per_prompt) / 1e9:.3g} GB of a "
            f"device's {memory / 1e9:.3g}; set fewer samples at a time, shorter prompts, fewer new "
            "tokens or a narrower dtype"
        )
    fitting = int(_SHARE * memory - others) // max(1, per_prompt)
    return dataclasses.replace(shape, resident_prompts=min(shape.resident_prompts, max(1, fitting)))


def _needs(config: model.DecoderConfig, shape: EngineShape, mesh: Mesh) -> tuple[int, int]:
    """Bytes on each device: (of all but resident prompts, of one resident prompt)."""
    shapes = jax.eval_shape(lambda: init_state(config, shape))
    state = shardings.with_shardings(shapes, shardings.state_shardings(config, shape, mesh))
    params = shardings.decode_param_shapes(config, shape, mesh)
    prompts = shard_bytes(state.prompts.cache)
    return shard_bytes((params, state)) - prompts, prompts // shape.resident_prompts


def _device_memory(mesh: Mesh) -> int | None:
    """Bytes of memory of each device, CPU devices sharing their host's.

    None if unknown, or on several hosts: they must compile the same sizes.
    """
    if mesh.is_multi_process:
        return None
    device = mesh.local_devices[0]
    if device.platform == "cpu":
        return usable_memory() // len(mesh.local_devices)
    return (device.memory_stats() or {}).get("bytes_limit")


def shard_bytes(tree: Any) -> int:
    """Bytes of a tree of arrays, or of their shapes, on each device."""
    return sum(
        leaf.dtype.itemsize * math.prod(leaf.sharding.shard_shape(leaf.shape))
        for leaf in jax.tree.leaves(tree)
    )
