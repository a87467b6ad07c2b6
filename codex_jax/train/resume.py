"""The state that a run begins with: of its newest checkpoint, or initial."""

import dataclasses

from codex_jax import InputError
from codex_jax.checkpoint import Card, Checkpoints
from codex_jax.train import state as states
from codex_jax.train.initialization import initial_state
from codex_jax.train.job import Job
from codex_jax.train.state import TrainState


def restore_or_init(checkpoints: Checkpoints, job: Job) -> tuple[TrainState, int, Card]:
    """(state, step, card) of the newest checkpoint, or the initial state, 0 and the job's card.

    The card's ends of a text are those of the checkpoint, or of the source of the weights.

    Raises:
      InputError: the checkpoint is of another run; every difference is named.
    """
    if checkpoints.latest is None:
        options = {"seed": job.seed, "dtype": job.dtype}
        state = initial_state(job.source, job.model, job.tx, job.mesh, **options)
        eos_ids = job.source.card.eos_ids if job.source.directory else []
        return state, 0, dataclasses.replace(job.card, eos_ids=eos_ids)
    step = checkpoints.steps[0]
    saved = checkpoints.card(step)
    if differences := saved.differences(job.card):
        raise InputError(
            f"{checkpoints.directory} holds step {step} of another run (saved, set now): "
            f"{'; '.join(differences)}; set another checkpoint_dir, or delete it"
        )
    target = states.abstract_state(job.model, job.tx, job.mesh, dtype=job.dtype)
    params, rest, step = checkpoints.restore(target.params, target._replace(params=None))
    card = dataclasses.replace(job.card, eos_ids=saved.eos_ids)
    return rest._replace(params=params), step, card
