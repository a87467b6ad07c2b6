"""Messages and barriers of the processes of a run, through JAX's coordination service."""

import contextlib
import itertools
import socket
import sys
from typing import Any

import jax
from jax._src import distributed  # the public interface has neither barriers nor keys

_FOLDER = "codex_jax"
_STOPS = f"{_FOLDER}/stops"  # of all runs that these processes make
_WAIT_S = 30 * 24 * 3600  # a host that works is never given up
_AGAIN_STATUS = 75  # EX_TEMPFAIL: what is done is saved; run the same command again
_numbers = itertools.count()


class BarrierError(Exception):
    """Not all processes came to a barrier; `absent` are the others' indices."""

    def __init__(self, name: str, absent: list[int]):
        super().__init__(name)
        self.absent = absent


class Peers:
    """The processes of a run; every process makes the same ones in the same order."""

    def __init__(self, client: Any, index: int, count: int):
        """Takes part.

        Args:
          client: JAX's DistributedRuntimeClient; None for a single process.
          index: Of this process.
          count: Number of processes.
        """
        self._client = client
        self.index = index
        self.count = count
        self._prefix = f"{_FOLDER}/{next(_numbers)}"

    @classmethod
    def connected(cls) -> "Peers":
        """Returns the processes that jax.distributed joined."""
        return cls(distributed.global_state.client, jax.process_index(), jax.process_count())

    @property
    def others(self) -> list[int]:
        """Indices of the other processes."""
        return [n for n in range(self.count) if n != self.index]

    def publish(self, subject: str, text: str) -> None:
        """Sets this process's text on a subject, in place of a former one."""
        key = f"{self._prefix}/{subject}/{self.index}"
        self._client.key_value_set(key, text, allow_overwrite=True)

    def read(self, subject: str) -> dict[int, str]:
        """Returns process → its text on a subject, of those that published one."""
        return self._read(f"{self._prefix}/{subject}")

    def _read(self, folder: str) -> dict[int, str]:
        pairs = self._client.key_value_dir_get(f"{folder}/")
        return {int(key.rsplit("/", 1)[1]): text for key, text in pairs}

    def read_stops(self) -> dict[int, str]:
        """Returns process → why it stopped, of those that `tell_stop` tells of."""
        return self._read(_STOPS)

    def wait(self, name: str, seconds: float) -> None:
        """Waits until all processes are at the barrier of this name, which is used once.

        Raises:
          BarrierError: some don't come in that time.
        """
        if self.count == 1:
            return
        self.publish(f"at {name}", socket.gethostname())
        try:
            self._client.wait_at_barrier(f"{self._prefix}/{name}", int(1000 * seconds))
        except jax.errors.JaxRuntimeError:
            present = self.read(f"at {name}")
            raise BarrierError(name, [n for n in self.others if n not in present]) from None

    def exchange(self, subject: str, text: str, seconds: float) -> list[str]:
        """Returns the texts of all processes on a subject, in their order.

        Raises:
          BarrierError: some don't come in that time.
        """
        if self.count == 1:
            return [text]
        self.publish(subject, text)
        self.wait(f"{subject} of all", seconds)
        texts = self.read(subject)
        return [texts[n] for n in range(self.count)]


def exchange(subject: str, text: str) -> list[str]:
    """Returns the texts of all processes on a subject, in their order; waits for all of them.

    No device takes part: processes may come hours apart. Every process exchanges the same subjects
    in the same order. Where the others are lost, the process ends with status 75.
    """
    try:
        return Peers.connected().exchange(subject, text, _WAIT_S)
    except (BarrierError, jax.errors.JaxRuntimeError):
        print("another host was lost; run the same command again", file=sys.stderr)
        raise SystemExit(_AGAIN_STATUS) from None


def tell_stop(error: BaseException) -> None:
    """Tells the other processes why this one stops, if it can."""
    state = distributed.global_state
    name = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
    text = " ".join(str(error).split())[:300] or name
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        if state.client:
            state.client.key_value_set(f"{_STOPS}/{state.process_id}", text, allow_overwrite=True)


def name_processes(indices: list[int]) -> str:
    """Returns "process 3" or "processes 1, 2 and 5"; at most eight of many."""
    shown = [str(n) for n in indices[:8]]
    if len(indices) > len(shown):
        shown.append(f"{len(indices) - len(shown)} more")
    if len(shown) == 1:
        return f"process {shown[0]}"
    return f"processes {', '.join(shown[:-1])} and {shown[-1]}"
