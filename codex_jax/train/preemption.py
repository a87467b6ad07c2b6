"""Preemption notices: SIGTERM on any host ends training at one step, the same on every host."""

import signal
import threading
from types import FrameType

import jax
from jax.experimental import multihost_utils

EXIT_STATUS = 75  # EX_TEMPFAIL: preempted, everything saved, run the same command again


class Preempted(SystemExit):
    """Ends the process with EXIT_STATUS, after everything is saved."""

    def __init__(self, step: int):
        super().__init__(EXIT_STATUS)
        self.step = step


class PreemptionNotice:
    """Watches for SIGTERM within a `with` block.

    With several processes JAX's coordination service takes the signal, wherever it came, and names
    the step at which all of them end; one process has a handler of its own.
    """

    def __init__(self) -> None:
        self._is_received = False
        self._former: object = None

    def __enter__(self) -> "PreemptionNotice":  # noqa: PYI034  beartype refuses Self here
        if self._has_handler:
            self._former = signal.signal(signal.SIGTERM, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_handler:
            signal.signal(signal.SIGTERM, self._former)  # type: ignore[arg-type]  # signal's own

    @property
    def _has_handler(self) -> bool:
        is_main = threading.current_thread() is threading.main_thread()
        return jax.process_count() == 1 and is_main

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self._is_received = True

    def is_due(self, step: int) -> bool:
        """Whether training ends before `step`; every process calls it at every step."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._is_received
