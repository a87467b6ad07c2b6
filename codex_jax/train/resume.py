"""The state that a run begins with: of its newest checkpoint, or initial."""

from codex_jax import InputError
from codex_jax.checkpoint import Checkpoints
from codex_jax.train import state as states
from codex_jax.train.initialization import initial_state
from codex_jax.train.job import Job
from codex_jax.train.state import TrainState


def restore_or_init(checkpoints: Checkpoints, job: Job) -> tuple[TrainState, int]:
    """(state, step) of the newest checkpoint, or the initial state and 0 if there is none.

    Raises:
      InputError: the checkpoint is of another run; every difference is named.
    """
    if checkpoints.latest is None:
        options = {"batches": job.batches, "seed": job.seed, "dtype": job.dtype}
        return initial_state(job.source, job.model, job.tx, job.mesh, **options), 0
    step = checkpoints.steps[0]
    if differences := checkpoints.card(step).differences(job.card):
        raise InputError(
            f"{checkpoints.directory} holds step {step} of another run (saved, set now): "
            f"{'; '.join(differences)}; set another checkpoint_dir, or delete it"
        )
    target = states.abstract_state(job.model, job.tx, job.mesh, dtype=job.dtype)
    params, rest, step = checkpoints.restore(target.params, target._replace(params=None))
    return rest._replace(params=params), step
