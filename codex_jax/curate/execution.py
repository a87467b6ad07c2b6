"""The interface through which programs run: the command line passes an object that has it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from codex_jax import records


class Call(NamedTuple):
    """Arguments of one call; plain values."""

    arguments: tuple[Any, ...]
    named: dict[str, Any]


class Session(Protocol):
    """Sandboxes in which programs run, one after the other."""

    def run(
        self, source: str, entry_point: str, calls: Sequence[Call], *, index: int = 0
    ) -> records.Run:
        """Runs a program in the sandbox of that index; returns its answers to the calls."""
        ...


class Runner(Protocol):
    """Opens sessions."""

    def open(self, sandboxes: int = 1) -> AbstractContextManager[Session]:
        """Opens a session whose sandboxes have hash seeds of their own; checks the settings."""
        ...


def check_runner(runner: Runner) -> None:
    """Raises InputError where its settings are out of range, or no sandbox works here."""
    with runner.open() as session:
        session.run("def f(): pass", "f", [])
