"""`goodput`: the part of a run's wall time in which it advanced, and what took the rest."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from codex_jax import InputError
from codex_jax.remote.paths import check_path, to_path
from codex_jax.train.run_events import EVENTS_FILE, read_events

# Cause of badput → its meaning, in the order of the table.
CAUSES = {
    "init": "from the program's start to the first look at a checkpoint",
    "restore": "reading a checkpoint, or making the first weights",
    "compile": "tracing and compiling the step",
    "data_wait": "waiting for batches",
    "save": "saves, as far as they held up the loop",
    "evaluate": "evaluations",
    "lost_work": "steps that were done again after a restart",
    "down": "from the last event of an attempt to the start of the next",
    "other": "the rest",
}
_MEASURED = ("init", "restore", "compile", "save", "evaluate")


class Goodput(NamedTuple):
    """Wall time of a run by cause, in seconds.

    Attributes:
      wall: From the first start to the last event, but for what clocks were set back.
      productive: In which steps were computed that the run still holds.
      badput: Cause → seconds; with `productive` they sum to `wall`.
      attempts: Number of starts.
      steps: Steps that the run holds.
      lost_steps: Steps that were done again.
    """

    wall: float
    productive: float
    badput: dict[str, float]
    attempts: int
    steps: int
    lost_steps: int


def report_goodput(*, run: str, as_json: bool = False) -> None:
    """Prints the part of a run's wall time in which it advanced, and the causes of the rest.

    Args:
      run: The run's checkpoint_dir.
      as_json: Whether to print JSON instead of a table.

    Raises:
      InputError: no run's events are there.
    """
    check_path(run, "run")
    path = to_path(run) / EVENTS_FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file; set run to the checkpoint_dir of a training run")
    events = read_events(path)
    if not any(event["event"] == "start" for event in events):
        raise InputError(f"{path} has no start of a run; set run to another checkpoint_dir")
    result = compute_goodput(events)
    print(to_json(result) if as_json else to_table(result))


def compute_goodput(events: Sequence[Mapping[str, Any]]) -> Goodput:
    """Adds up the events of all attempts of a run."""
    attempts = _split(events)
    badput = dict.fromkeys(CAUSES, 0.0)
    productive, steps, lost_steps = 0.0, 0, 0
    begun_from = [_first_step(attempt) for attempt in attempts]
    for number, attempt in enumerate(attempts):
        span = max(event["time"] for event in attempt) - attempt[0]["time"]
        lost_from = min(begun_from[number + 1 :], default=sys.maxsize)
        for event in attempt:
            name, seconds = event["event"], event.get("seconds", 0.0)
            if name in _MEASURED:
                badput[name] += seconds
                span -= seconds
            elif name == "step":
                count = event["last"] - event["first"] + 1
                lost = min(count, max(0, event["last"] + 1 - lost_from))
                waited = event.get("data_wait", 0.0)
                badput["data_wait"] += waited
                badput["lost_work"] += (seconds - waited) * lost / count
                productive += (seconds - waited) * (count - lost) / count
                steps, lost_steps = steps + count - lost, lost_steps + lost
                span -= seconds
        badput["other"] += max(0.0, span)  # hosts' clocks differ, and are set back
        if number:
            ended = max(event["time"] for event in attempts[number - 1])
            badput["down"] += max(0.0, attempt[0]["time"] - ended)
    wall = productive + sum(badput.values())
    return Goodput(wall, productive, badput, len(attempts), steps, lost_steps)


def _split(events: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Splits events into attempts, each with its start first."""
    attempts: list[list[Mapping[str, Any]]] = []
    for event in events:
        if event["event"] == "start":
            attempts.append([])
        if attempts:
            attempts[-1].append(event)
    return attempts


def _first_step(attempt: Sequence[Mapping[str, Any]]) -> int:
    """Step from which an attempt went on; a number beyond all steps if it came to none."""
    return next((e["step"] for e in attempt if e["event"] == "restore"), sys.maxsize)


def to_json(result: Goodput) -> str:
    """Returns the numbers as a JSON object, with the goodput as a fraction."""
    share = result.productive / result.wall if result.wall else 0.0
    return json.dumps({"goodput": share, **result._asdict()})


def to_table(result: Goodput) -> str:
    """Returns a table: seconds and share of the wall time, by cause."""
    rows = [("goodput", result.productive, f"{result.steps} steps")]
    rows += [(cause, result.badput[cause], meaning) for cause, meaning in CAUSES.items()]
    attempts = f"{result.attempts} attempts, {result.lost_steps} steps done again"
    rows.append(("wall time", result.wall, attempts))
    lines = []
    for name, seconds, note in rows:
        share = seconds / result.wall if result.wall else 0.0
        lines.append(f"{name:10} {seconds:12.1f} s {share:7.1%}  {note}")
    return "\n".join(lines)
