"""The number of resident prompts that the devices' memory holds."""

import dataclasses
import math
from typing import Any

import jax
from jax.sharding import Mesh

from codex_jax import InputError, model
from codex_jax.host_runtime import usable_memory
from codex_jax.sample.engine import shardings
from codex_jax.sample.engine.state import EngineShape, init_state

_SHARE = 0.75  # of the memory, for weights and state; the rest is for a program's temporaries


def fit_prompts(
    config: model.DecoderConfig, shape: EngineShape, mesh: Mesh, memory: int | None = None
) -> EngineShape:
    """Returns the shape with as many of its resident prompts as the memory holds, at least one.

    With fewer prompts than fill the rows some rows are idle; samples stay the same.

    Args:
      config: The model's.
      shape: Sizes that `plan` chose.
      mesh: Devices.
      memory: Bytes of each device; None looks them up, and changes nothing where they are unknown.

    Raises:
      InputError: weights and one prompt need more than all memory.
    """
    memory = _device_memory(mesh) if memory is None else memory
    if not memory:
        return shape
    shapes = jax.eval_shape(lambda: init_state(config, shape))
    state = shardings.with_shardings(shapes, shardings.state_shardings(config, shape, mesh))
    prompts = _shard_bytes(state.prompts.cache)
    others = _shard_bytes(shardings.decode_param_shapes(config, shape, mesh))
    others += _shard_bytes(state) - prompts
    per_prompt = prompts // shape.resident_prompts
    if others + per_prompt > memory:
        raise InputError(
            f"batch_size is {shape.rows}: weights, so many samples of {shape.positions} tokens and "
            f"one prompt of {shape.max_prompt_tokens} need {(others + per_prompt) / 1e9:.3g} GB on "
            f"a device that has {memory / 1e9:.3g}; set batch_size or max_new_tokens lower, "
            "weights_dtype to int8, or MeshShape.tensor higher"
        )
    fitting = int(_SHARE * memory - others) // max(1, per_prompt)
    return dataclasses.replace(shape, resident_prompts=min(shape.resident_prompts, max(1, fitting)))


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


def _shard_bytes(tree: Any) -> int:
    """Bytes of a tree of shapes on each device."""
    return sum(
        leaf.dtype.itemsize * math.prod(leaf.sharding.shard_shape(leaf.shape))
        for leaf in jax.tree.leaves(tree)
    )
