"""The state that a run begins with, and the settings that it may change on the way."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from codex_jax import InputError, list_settings
from codex_jax.checkpoint import (
    Card,
    Checkpoints,
    describe_base,
    find_base,
    has_steps,
    read_card,
    restore_base,
)
from codex_jax.train import state as states
from codex_jax.train.initialization import initial_state
from codex_jax.train.job import Job
from codex_jax.train.state import TrainState

# Name for resume_with → the card's. Others decide what the steps before were, too.
CHANGEABLE = {
    "steps": "steps",
    "learning_rate": "optimizer.learning_rate",
    "final_fraction": "optimizer.final_fraction",
    "decay_fraction": "optimizer.decay_fraction",
    "weight_decay": "optimizer.weight_decay",
    "clip_norm": "optimizer.clip_norm",
    "on_nonfinite": "stability.on_nonfinite",
    "spike_factor": "stability.spike_factor",
    "most_skips": "stability.most_skips",
}


def split_names(resume_with: Sequence[str] | str) -> list[str]:
    """Returns the names in resume_with, a list or a text with commas.

    Raises:
      InputError: a setting that can't change on the way, or an empty entry.
    """
    names = list(list_settings.split_names("resume_with", resume_with))
    if unknown := [name for name in names if name not in CHANGEABLE]:
        raise InputError(
            f"resume_with names {unknown[0]!r}, which can't change within a run; set it to names "
            f"of {', '.join(CHANGEABLE)}"
        )
    return names


class Beginning(NamedTuple):
    """State and step that a run begins with, and the card of its checkpoints.

    The card's ends of a text are those of the checkpoint, or of the source of the weights. `base`
    holds the weights that stay, with LoRA.
    """

    state: TrainState
    step: int
    card: Card
    base: Any = None


def restore_or_init(
    checkpoints: Checkpoints, job: Job, resume_with: Sequence[str] = ()
) -> Beginning:
    """Restores the newest checkpoint; makes the initial state if there is none.

    Args:
      checkpoints: Of the run.
      job: The run's.
      resume_with: Settings that may differ from the checkpoint's, from its step on.

    Raises:
      InputError: the checkpoint is of another run; every difference is named.
    """
    if checkpoints.latest is None:
        return _begin(checkpoints, job)
    if not checkpoints.steps:
        raise InputError(
            f"{checkpoints.directory} holds parameters alone, from which a run can't continue; "
            "set another checkpoint_dir, and init_from to this one"
        )
    saved = checkpoints.card(checkpoints.steps[0])
    check_same_run(saved, job.card, resume_with, str(checkpoints.directory))
    options = {"dtype": job.dtype, "lora": job.lora}
    target = states.abstract_state(job.model, job.tx, job.mesh, **options)
    params, rest, step = checkpoints.restore(target.params, target._replace(params=None))
    if step != saved.step:  # the newest was damaged
        saved = checkpoints.card(step)
        check_same_run(saved, job.card, resume_with, str(checkpoints.directory))
    changes = _changes(saved, job.card)
    record = [*saved.changes, {"step": step, **changes}] if changes else saved.changes
    losses = saved.validation_losses
    card = dataclasses.replace(
        job.card, eos_ids=saved.eos_ids, changes=record, validation_losses=losses
    )
    card = dataclasses.replace(card, low_rank=saved.low_rank, origin=saved.origin)
    base = _restore_base(dataclasses.replace(card, step=step), job, checkpoints)
    return Beginning(rest._replace(params=params), step, card, base)


def _begin(checkpoints: Checkpoints, job: Job) -> Beginning:
    """The beginning of a run without a checkpoint."""
    options = {"seed": job.seed, "dtype": job.dtype, "lora": job.lora}
    state = initial_state(job.source, job.model, job.tx, job.mesh, **options)
    if not job.source.directory:
        return Beginning(state, 0, job.card)
    source = job.source.card
    names = {"family", "dtype"} & source.origin.keys()
    origin: dict[str, Any] = {str(name): source.origin[name] for name in names}
    card = dataclasses.replace(job.card, eos_ids=source.eos_ids, origin=origin)
    if job.lora.lora_rank:
        base = describe_base(job.source.directory, source, checkpoints.directory)
        low_rank = {"scale": job.lora.scale, "dtype": job.compute.param_dtype, "base": base}
        card = dataclasses.replace(card, low_rank=low_rank)
    return Beginning(state, 0, card, _restore_base(card, job, checkpoints))


def _restore_base(card: Card, job: Job, checkpoints: Checkpoints) -> Any:
    if not card.low_rank:
        return None
    shapes = states.abstract_params(job.model, job.mesh, dtype=job.dtype)
    return restore_base(card, checkpoints.directory, shapes)


def _changes(saved: Card, card: Card) -> dict[str, Any]:
    """Settings of resume_with that differ, by name: [saved, set now]."""
    pairs = {n: [saved.run.get(key), card.run.get(key)] for n, key in CHANGEABLE.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def check_same_run(saved: Card, card: Card, resume_with: Sequence[str], directory: str) -> None:
    """Checks that a checkpoint is of this run, but for what resume_with lets differ.

    Raises:
      InputError: it isn't; every difference is named, with the settings that may change.
    """
    changes = _changes(saved, card)
    accepted = {f"run.{CHANGEABLE[name]}" for name in resume_with}
    differences = [line for line in saved.differences(card) if line.split(":")[0] not in accepted]
    if differences:
        possible = ",".join(name for name in changes if name not in resume_with)
        hint = f"to change it from here on, set resume_with to {possible}; else " * bool(possible)
        raise InputError(
            f"{directory} holds step {saved.step} of another run (saved, set now): "
            f"{'; '.join(differences)}; {hint}set another checkpoint_dir, or the saved values"
        )
    if "steps" in changes:
        _check_steps(saved, card, directory)


def check_resumable(job: Job, directory: str, resume_with: Sequence[str]) -> None:
    """Checks, by cards alone, that the newest checkpoint in a directory, if any, is of this run.

    Raises:
      InputError: it isn't, and every difference is named, or the base of its LoRA is gone.
    """
    if has_steps(directory):
        saved = read_card(directory, check_content=False)
        check_same_run(saved, job.card, resume_with, directory)
        if saved.low_rank:
            find_base(saved, directory)


def _check_steps(saved: Card, card: Card, directory: str) -> None:
    steps, schedule = card.run["steps"], card.run["optimizer.schedule"]
    if schedule == "cosine":
        raise InputError(
            f"steps is {steps}, the checkpoint's {saved.run['steps']}: all rates of a cosine "
            f"schedule depend on it; set init_from to {directory} and another checkpoint_dir, for "
            "a new run from these weights (constant, rsqrt and wsd schedules can be extended)"
        )
    if steps < saved.step:
        raise InputError(
            f"steps is {steps}; step {saved.step} is reached already: set it to that or more"
        )
