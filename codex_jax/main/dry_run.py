"""Cost of a configuration, computed without running it: `--dry_run` prints it."""

import math
from collections.abc import Callable
from typing import Any

from codex_jax.main import sweep


def train(
    *, batches: Any, mesh: Any, compute: Any, steps: int, model: Any = None, **rest: Any
) -> str:
    """Returns parameters, mesh, bytes a device holds, tokens of a step and of the run.

    Raises:
      InputError: data, model, mesh and microbatches that don't fit one another.
    """
    from codex_jax import sharding
    from codex_jax.model import abstract_params
    from codex_jax.train import checks, initialization, optimizer, setting_ranges, state
    from codex_jax.train.lora import trained_params

    setting_ranges.check_ranges({"steps": steps, "compute": compute} | rest)

    source = initialization.Source(rest.get("init_from", ""), rest.get("init_step"))
    model = initialization.select_model(model, rest["checkpoint_dir"], source, batches)
    devices = sharding.make_mesh(mesh)
    checks.check(batches, model, compute, devices, has_source=bool(source.directory))
    shapes, axes = abstract_params(model)
    sharding.report(shapes, axes, devices)
    lora = rest["lora"]
    trained, trained_axes = trained_params(model, lora)
    tx = optimizer.make(rest["optimizer"], steps=steps, axes=trained_axes)
    options = {"dtype": compute.param_dtype}
    held: list[Any] = [state.abstract_state(model, tx, devices, **options, lora=lora)]
    held += [state.abstract_params(model, devices, **options)] * bool(lora.lora_rank)
    tokens = batches.batch_size * batches.sequence_length
    sizes = " × ".join(f"{axis} {size}" for axis, size in devices.shape.items())
    rows = [
        ("parameters", f"{_count(shapes):,}"),
        *([("trained", f"{_count(trained):,}")] if lora.lora_rank else []),
        ("mesh", f"{sizes} ({devices.size} {devices.devices.flat[0].platform} devices)"),
        ("state per device", f"{_bytes_per_device(held) / 2**20:,.1f} MiB"),
        ("tokens per step", f"{tokens:,} ({batches.batch_size} rows of {batches.sequence_length})"),
        ("tokens in all", f"{tokens * steps:,} in {steps:,} steps"),
        ("compute", f"{model.flops_per_token(batches.sequence_length) * tokens * steps:.3g} FLOPs"),
    ]
    return "\n".join(f"{name:17} {value}" for name, value in rows)


def _count(shapes: Any) -> int:
    import jax

    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def _bytes_per_device(state: Any) -> int:
    import jax

    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(state)
    )


# Command → the function that previews it.
PREVIEWS: dict[str, Callable[..., str]] = {"train": train, "sweep": sweep.preview}
