"""events.jsonl: where the wall time of a run went, a line for each stretch of it.

Every line has "time" (its end, Unix seconds) and "event": start (an attempt begins), init, restore,
compile, step (of several, "first" to "last"), save, evaluate, lost_work, end. `goodput` reads them.
"""

import contextlib
import json
import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

import jax

from codex_jax import files, host_runtime

EVENTS_FILE = "events.jsonl"
_STEPS = {"restore": ("step",), "step": ("first", "last")}  # event → its fields that are steps
_MOST = 10**7  # steps of a line: log_every, or save_every, apart
_FAR = 1e12  # seconds, beyond which a number is none of ours


class RunEvents:
    """Appends the events of an attempt; only process 0 writes."""

    def __init__(self, folder: pathlib.Path, *, is_over: bool = False):
        """Writes nothing yet.

        Args:
          folder: Of the run.
          is_over: Whether the run has taken its last step, so that nothing is written.
        """
        self.path = folder / EVENTS_FILE
        self._writes = jax.process_index() == 0 and not is_over
        self._has_begun = False

    def __enter__(self) -> "RunEvents":  # noqa: PYI034  beartype refuses Self here
        self._has_begun = True
        if self._writes:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            files.repair_jsonl(self.path)
        began = host_runtime.take_start()
        self._append({"time": began, "event": "start", "processes": jax.process_count()})
        self.write("init", time.time() - began)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        status = "done" if error is None else f"{type(error).__name__}: {error}"[:300]
        with contextlib.suppress(OSError):  # a full disk is told elsewhere
            self.write("end", 0.0, status=status)

    def write(self, event: str, seconds: float, **fields: Any) -> None:
        """Appends an event that ends now."""
        if self._has_begun:
            line = {"time": time.time(), "event": event, "seconds": seconds, **fields}
            self._append(line)

    @contextlib.contextmanager
    def measure(self, event: str, **fields: Any) -> Iterator[dict[str, Any]]:
        """Appends an event that lasts as long as the block, if no error ends it.

        Yields:
          Its further fields, to which the block may add.
        """
        start = time.perf_counter()
        yield fields
        self.write(event, time.perf_counter() - start, **fields)

    def write_lost_work(self) -> None:
        """Appends the steps that the restore lost: former attempts took them, this one will."""
        if self._writes and (lost := lost_steps(read_events(self.path))):
            line = {"time": time.time(), "event": "lost_work", "steps": len(lost)}
            self._append(line | {"lost_seconds": sum(lost.values())})

    def _append(self, line: dict[str, Any]) -> None:
        if self._writes:
            rounded = {k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()}
            with self.path.open("a", encoding="utf-8") as out:
                out.write(json.dumps(rounded) + "\n")


def read_events(path: Any) -> list[dict[str, Any]]:
    """Reads the whole events of a file; a killed process or a full disk may leave torn lines."""
    events = []
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict) and _is_whole(event):
                events.append(event)
    return events


def _is_whole(event: Mapping[str, Any]) -> bool:
    """Whether an event has a name, and numbers where they are added up."""
    name = event.get("event")
    if not isinstance(name, str):
        return False
    seconds = [event.get("time"), event.get("seconds", 0.0), event.get("data_wait", 0.0)]
    steps = [event.get(field) for field in _STEPS.get(name, ())]
    are_numbers = all(isinstance(each, float | int) and 0 <= each < _FAR for each in seconds)
    if not (are_numbers and all(isinstance(each, int) for each in steps)):
        return False
    return name != "step" or ("seconds" in event and 0 <= event["last"] - event["first"] < _MOST)


def lost_steps(events: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """Returns step → seconds of the steps that the last restore lost, and the run takes again."""
    reached: dict[int, float] = {}
    lost: dict[int, float] = {}
    for event in events:
        if event["event"] == "restore":
            lost = {n: seconds for n, seconds in reached.items() if n >= event["step"]}
            reached = {n: seconds for n, seconds in reached.items() if n < event["step"]}
        elif event["event"] == "step":
            span = range(event["first"], event["last"] + 1)
            reached |= dict.fromkeys(span, event["seconds"] / len(span))
    return lost
