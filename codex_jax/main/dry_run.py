"""Cost of a configuration, computed without running it: `--dry_run` prints it."""

import inspect
import math
from collections.abc import Callable
from typing import Any

from codex_jax.main import sweep


def train(**settings: Any) -> str:
    """Returns parameters, mesh, bytes a device holds, tokens of a step and of the run.

    Raises:
      InputError: settings that don't fit one another, or the checkpoints that are there.
    """
    from codex_jax import sharding
    from codex_jax.model import abstract_params
    from codex_jax.train import state
    from codex_jax.train.lora import trained_params

    job, steps = _check_train(settings), settings["steps"]
    batches, model, devices, lora = job.batches, job.model, job.mesh, job.lora
    shapes, axes = abstract_params(model)
    sharding.report(shapes, axes, devices)
    trained = trained_params(model, lora)[0]
    options = {"dtype": job.dtype}
    held: list[Any] = [state.abstract_state(model, job.tx, devices, **options, lora=lora)]
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


def _check_train(settings: dict[str, Any]) -> Any:
    """Checks all that train itself does before it begins; returns its job."""
    from codex_jax.train import initialization, job, loop, resume, setting_ranges

    parameters = inspect.signature(loop.train).parameters.values()
    settings = {each.name: each.default for each in parameters} | settings
    setting_ranges.check_ranges(settings)
    directory, changes = settings["checkpoint_dir"], resume.split_names(settings["resume_with"])
    loop.claim_directory(directory)
    source = initialization.Source(settings["init_from"], settings["init_step"])
    batches = settings["batches"]
    model = initialization.select_model(settings["model"], directory, source, batches)
    configs: list[Any] = [settings[name] for name in ("optimizer", "mesh", "compute", "stability")]
    configs += [{name: settings[name] for name in ("steps", "seed")}, "", settings["lora"]]
    run = job.make_job(batches, model, source, *configs)
    loop.plan(run, settings)
    resume.check_resumable(run, directory, changes)
    return run


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
