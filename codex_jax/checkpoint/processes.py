"""Decisions of process 0 that all processes of a run share, and what they tell one another."""

import collections
import sys
from typing import Any

import jax
import numpy as np
from jax._src import distributed  # the public interface has no keys
from jax.experimental import multihost_utils

from codex_jax import InputError

_WAIT_MS = 30 * 24 * 3600 * 1000  # a host that works is never given up
_LOST_STATUS = 75  # EX_TEMPFAIL: what is done is saved; run the same command again
_numbers: collections.Counter[str] = collections.Counter()


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


def exchange(subject: str, text: str) -> list[str]:
    """Returns the texts of all processes on a subject, in their order; waits for all of them.

    No device takes part: processes may come hours apart. Every process exchanges the same subjects
    in the same order. Where the others are lost, the process ends with status 75.
    """
    count = jax.process_count()
    if count == 1:
        return [text]
    client: Any = distributed.global_state.client
    _numbers[subject] += 1
    key = f"codex_jax exchange/{_numbers[subject]}/{subject}"
    try:
        client.key_value_set(f"{key}/{jax.process_index()}", text)
        return [client.blocking_key_value_get(f"{key}/{n}", _WAIT_MS) for n in range(count)]
    except jax.errors.JaxRuntimeError:
        print("another host was lost; run the same command again", file=sys.stderr)
        raise SystemExit(_LOST_STATUS) from None
