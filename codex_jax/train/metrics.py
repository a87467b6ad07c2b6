"""metrics.jsonl: a line per step, read from the device late so that the device never waits.

TensorBoard's event files beside it have the last step of each log line, and all evaluations.
"""

import contextlib
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
from codex_jax.train.run_events import RunEvents
from codex_jax.train.stability import Stability

Rates = Callable[[float, float], dict[str, float]]  # (seconds, tokens) of a step → metrics


class Metrics:
    """Collects metrics on the device, and writes those of several steps at a time.

    Lines of steps from `start` on, which a killed process wrote, are removed first, so that the
    file reads as one uninterrupted run. Only process 0 writes.
    """

    def __init__(
        self,
        path: pathlib.Path,
        *,
        start: int,
        stability: Stability = Stability(),
        events: RunEvents | None = None,
        rates: Rates | None = None,
    ):
        """Removes the lines from `start` on.

        Args:
          path: Of metrics.jsonl.
          start: First step.
          stability: By which steps are judged.
          events: Get the time of the steps, and what `measure` measures.
          rates: Further metrics of a step.
        """
        self.path = path
        self._judge = Judge(stability)
        self._run_events = events or RunEvents(path.parent)
        self._rates = rates
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

    def add(self, step: int, values: dict[str, Any]) -> None:
        """Adds a step's metrics, numbers or arrays that may still be under computation."""
        self._pending.append((step, values))

    @property
    def pending(self) -> Any:
        """Results of the latest step, which may still be under computation."""
        return self._pending[-1][1] if self._pending else ()

    @contextlib.contextmanager
    def measure(self, event: str, **fields: Any) -> Iterator[None]:
        """Measures a block whose time counts for no step."""
        start = time.perf_counter()
        try:
            with self._run_events.measure(event, **fields):
                yield
        finally:
            self._window += time.perf_counter() - start

    def extend(self, compute: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Computes and returns further metrics of the last step; their time counts for no step."""
        step, values = self._pending[-1]
        jax.block_until_ready(values)
        with self.measure("evaluate", step=step + 1):
            further = compute()
        values.update(further)
        return further

    def flush(self) -> dict[str, Any]:
        """Writes the pending lines; returns the last of them.

        Raises:
          InputError: a step that must not be, with its number.
        """
        lines: list[dict[str, Any]] = [
            {"step": s, **{k: float(v) for k, v in m.items()}} for s, m in self._pending
        ]
        if not lines:
            return {}
        now = time.perf_counter()
        window, self._window = now - self._window, now
        seconds = window / len(lines)
        for line in lines:
            line.update(seconds=seconds, data_wait=self._waited / window)
            line.update(self._rates(seconds, line["tokens"]) if self._rates else {})
        span = {"first": lines[0]["step"], "last": lines[-1]["step"], "data_wait": self._waited}
        self._run_events.write("step", window, **span)
        self._pending, self._waited = [], 0.0
        if self._writes:
            with self.path.open("a", encoding="utf-8") as out:
                out.writelines(json.dumps(line) + "\n" for line in lines)
            is_validated = (any(key.startswith("validation/") for key in line) for line in lines)
            chosen = [line for line, has_any in zip(lines, is_validated, strict=True) if has_any]
            self._events.write(chosen if lines[-1] in chosen else [*chosen, lines[-1]])
        for line in lines:
            self._judge.check(line)
        self.last = lines[-1]
        return self.last


class Judge:
    """Ends a run at a step that isn't finite, or after too many skipped ones in a row."""

    def __init__(self, stability: Stability):
        self._stability = stability
        self._skips = 0

    def check(self, line: dict[str, Any]) -> None:
        """Judges the next step's metrics.

        Raises:
          InputError: the run ends here.
        """
        loss, norm, is_skipped = line["loss"], line["grad_norm"], bool(line.get("skipped"))
        self._skips = self._skips + 1 if is_skipped else 0
        is_finite = math.isfinite(loss) and math.isfinite(norm)
        is_spike = is_skipped and is_finite and self._stability.spike_factor > 0
        if (
            self._stability.on_nonfinite == "stop"
            and not is_spike
            and (is_skipped or not is_finite)
        ):
            fault = "its update isn't finite" if is_finite else "it isn't finite"
            raise InputError(
                f"the loss of step {line['step']} is {loss:g}, its gradient norm {norm:g}: {fault} "
                "and in no checkpoint; run again with a lower learning_rate and "
                "resume_with=learning_rate, or with on_nonfinite=skip and resume_with=on_nonfinite"
            )
        if self._skips > self._stability.most_skips:
            raise InputError(
                f"{self._skips} steps in a row were skipped, the last of them {line['step']} (loss "
                f"{loss:g}, gradient norm {norm:g}); lower learning_rate with "
                "resume_with=learning_rate, or raise spike_factor or most_skips"
            )


def read_before(path: pathlib.Path, start: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (text, fields) of the lines of steps before `start`, up to a torn or damaged one."""
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            return  # the process was killed while it wrote this line
        step = fields.get("step") if isinstance(fields, dict) else None
        if not isinstance(step, int | float) or not step < start:
            return
        yield text, fields


def _truncate(path: pathlib.Path, start: int) -> None:
    """Removes the lines of steps from `start` on, and a torn last line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        files.atomic_write(path, "".join(text + "\n" for text, _ in read_before(path, start)))
