"""metrics.jsonl: a line per step, read from the device late so that the device never waits.

TensorBoard's event files beside it have the last step of each log line, and all evaluations.
"""

import json
import math
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from codex_jax import InputError, files
from codex_jax.records import Batch
from codex_jax.train.event_file import EventFile


class Metrics:
    """Collects metrics on the device, and writes those of several steps at a time.

    Lines of steps from `start` on, which a killed process wrote, are removed first, so that the
    file reads as one uninterrupted run. Only process 0 writes.
    """

    def __init__(self, path: pathlib.Path, *, start: int):
        self.path = path
        self._writes = jax.process_index() == 0
        self._pending: list[tuple[int, dict[str, Any]]] = []
        self._waited = 0.0
        self.last: dict[str, Any] = {}
        self._window = time.perf_counter()
        self._events = EventFile(path.parent, start=start)
        if self._writes:
            _truncate(path, start)

    def next_batch(self, rows: Iterator[Batch]) -> Batch:
        """Reads the next batch, and counts the time as waiting for data."""
        start = time.perf_counter()
        batch = next(rows)
        self._waited += time.perf_counter() - start
        return batch

    def add(self, step: int, values: dict[str, jax.Array]) -> None:
        """Adds a step's metrics, which may still be under computation."""
        self._pending.append((step, values))

    def extend(self, compute: Callable[[], dict[str, float]]) -> None:
        """Computes further metrics of the last step; their time counts for no step."""
        jax.block_until_ready(self._pending)
        start = time.perf_counter()
        self._pending[-1][1].update(compute())
        self._window += time.perf_counter() - start

    def flush(self) -> dict[str, Any]:
        """Writes the pending lines; returns the last of them.

        Raises:
          InputError: a loss that isn't finite, with its step.
        """
        lines: list[dict[str, Any]] = [
            {"step": s, **{k: float(v) for k, v in m.items()}} for s, m in self._pending
        ]
        if not lines:
            return {}
        now = time.perf_counter()
        seconds, self._window = (now - self._window) / len(lines), now
        for line in lines:
            line |= {"seconds": seconds, "data_wait": self._waited / len(lines) / seconds}
        self._pending, self._waited = [], 0.0
        if self._writes:
            with self.path.open("a", encoding="utf-8") as out:
                out.writelines(json.dumps(line) + "\n" for line in lines)
            is_validated = (any(key.startswith("validation/") for key in line) for line in lines)
            chosen = [line for line, has_any in zip(lines, is_validated, strict=True) if has_any]
            self._events.write(chosen if lines[-1] in chosen else [*chosen, lines[-1]])
        if bad := [line for line in lines if not math.isfinite(line["loss"])]:
            raise InputError(
                f"the loss of step {bad[0]['step']} is {bad[0]['loss']}; lower "
                "Optimizer.learning_rate, and run again to resume from the newest checkpoint"
            )
        self.last = lines[-1]
        return self.last


def _truncate(path: pathlib.Path, start: int) -> None:
    """Removes the lines of steps from `start` on, and a torn last line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            break  # the process was killed while it wrote this line
        if fields["step"] >= start:
            break
        lines.append(line + "\n")
    files.atomic_write(path, "".join(lines))
