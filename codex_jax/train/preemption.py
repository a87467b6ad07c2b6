"""Preemption notices: SIGTERM on any host ends training at one step, the same on every host."""

import signal
import threading
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

EXIT_STATUS = 75  # EX_TEMPFAIL: preempted, everything saved, run the same command again


class Preempted(SystemExit):
    """Ends the process with EXIT_STATUS, after everything is saved."""

    def __init__(self, step: int):
        super().__init__(EXIT_STATUS)
        self.step = step


class PreemptionNotice:
    """Watches for SIGTERM within a `with` block, and takes SIGHUP, of a closed terminal, for it.

    With several processes JAX's coordination service takes the signal, wherever it came, and names
    the step at which all of them end; one process has a handler of its own.
    """

    def __init__(self) -> None:
        self._is_received = False
        self._former: dict[int, Any] = {}  # signal → its handler before

    def __enter__(self) -> "PreemptionNotice":  # noqa: PYI034  beartype refuses Self here
        handlers: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            if jax.process_count() == 1:
                handlers[signal.SIGTERM] = self._receive
            if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # nohup ignores it
                handlers[signal.SIGHUP] = lambda *_: signal.raise_signal(signal.SIGTERM)
        self._former = {number: signal.signal(number, h) for number, h in handlers.items()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self._is_received = True

    def is_due(self, step: int) -> bool:
        """Whether training ends before `step`; every process calls it at every step."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._is_received
