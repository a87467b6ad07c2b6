"""metrics.jsonl: a line a step, read from the device late so that the device never waits."""

import json
import math
import pathlib
import time
from collections.abc import Iterator

import jax

from codex_jax import InputError
from codex_jax.records import Batch


class Metrics:
    """Collects a step's metrics as they are on the device, writes them a window at a time.

    Lines of steps at or after `start` that an earlier, killed process wrote are dropped first, so
    the file always reads as one straight run. Of several processes the first one writes.
    """

    def __init__(self, path: pathlib.Path, *, start: int):
        self.path = path
        self._writes = jax.process_index() == 0
        self._pending: list[tuple[int, dict[str, jax.Array]]] = []
        self._waited = 0.0
        self.last: dict[str, float] = {}
        self._window = time.perf_counter()
        if self._writes:
            _truncate(path, start)

    def wait_for(self, rows: Iterator[Batch]) -> Batch:
        """The next batch, the time it took counted as waiting for data."""
        asked = time.perf_counter()
        batch = next(rows)
        self._waited += time.perf_counter() - asked
        return batch

    def add(self, step: int, values: dict[str, jax.Array]) -> None:
        self._pending.append((step, values))

    def flush(self) -> dict[str, float]:
        """Writes what is pending; returns the last line.

        Raises:
          InputError: a loss that isn't finite, with the step it began at.
        """
        lines = [{"step": s, **{k: float(v) for k, v in m.items()}} for s, m in self._pending]
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
        if bad := [line for line in lines if not math.isfinite(line["loss"])]:
            raise InputError(
                f"the loss of step {bad[0]['step']} is {bad[0]['loss']}; lower "
                "Optimizer.learning_rate, and run again to resume from the newest checkpoint"
            )
        self.last = lines[-1]
        return self.last


def _truncate(path: pathlib.Path, start: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            break  # the kill tore this line
        if fields["step"] >= start:
            break
        kept.append(line + "\n")
    partial = path.with_name("partial-" + path.name)
    partial.write_text("".join(kept), encoding="utf-8")
    partial.replace(path)
