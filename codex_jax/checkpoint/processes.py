"""Decisions of process 0 that all processes of a run share."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from codex_jax import InputError


def raise_together(error: InputError | None) -> None:
    """Raises process 0's error on every process; waits until all have come here.

    Raises:
      InputError: process 0 has one.
    """
    if jax.process_count() > 1:
        is_raised = bool(multihost_utils.broadcast_one_to_all(np.int32(error is not None)))
        if is_raised and error is None:
            error = InputError("process 0 stopped: its message says why")
    if error is not None:
        raise error


def is_true_everywhere(flag: bool) -> bool:
    """Whether `flag` is true on every process."""
    if jax.process_count() == 1:
        return flag
    return bool(np.all(multihost_utils.process_allgather(np.int32(flag))))
