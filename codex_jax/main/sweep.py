"""`sweep`: one command over a grid of settings, a folder for each run, a table and a plot."""

import itertools
import json
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from codex_jax import InputError, files

PROGRAM = (sys.executable, "-P", "-m", "codex_jax")
PREEMPTED = 75  # of a command that saved everything and wants to be run again: docs/pods.md


class Run(NamedTuple):
    """A point of the grid: its name, its folder and its command."""

    name: str
    folder: pathlib.Path
    words: list[str]

    @property
    def record(self) -> dict[str, Any]:
        """The words and the exit status of its last attempt, or nothing."""
        path = self.folder / "sweep_run.json"
        return json.loads(path.read_text("utf-8")) if path.exists() else {}


def sweep(
    *,
    command: str,
    grid: dict[str, tuple],
    output: str,
    folder_flag: str = "checkpoint_dir",
    metric: str = "loss",
) -> None:
    """Runs a command once for each point of a grid, one after the other, and compares the runs.

    A run that ended with status 0 is not run again; one that failed doesn't keep the others from
    running. The same command line continues after an interruption.

    Args:
      command: Words after `codex-jax`, such as "train model/85m.gin train/codex.gin --steps=100".
      grid: Setting → its values; every combination is run. "gin.Optimizer.beta1" is a name, too.
      output: Folder for the runs, runs.json and sweep.svg.
      folder_flag: The command's setting for a run's own folder, output/NAME.
      metric: Name in a run's metrics.jsonl by which the table is sorted, smallest first.

    Raises:
      InputError: an empty grid, a setting without values, or runs of another command in output,
        or one that can't be created.
    """
    runs = make_runs(command, grid, pathlib.Path(output), folder_flag)
    files.check_creatable(output, "output")
    failures = run_all(runs, PROGRAM)
    print(write_results(runs, pathlib.Path(output), metric))
    if failures:
        raise InputError(f"{len(failures)} of {len(runs)} runs failed: {', '.join(failures)}")


def preview(
    *,
    command: str,
    grid: dict[str, tuple],
    output: str,
    folder_flag: str = "checkpoint_dir",
    **rest: Any,  # noqa: ARG001  # it changes no command
) -> str:
    """Returns the commands that a sweep runs, a line for each."""
    runs = make_runs(command, grid, pathlib.Path(output), folder_flag)
    return "\n".join(f"codex-jax {shlex.join(run.words)}" for run in runs)


def make_runs(
    command: str, grid: Mapping[str, Sequence], output: pathlib.Path, folder_flag: str
) -> list[Run]:
    """Returns the runs of every combination, in the grid's order.

    Raises:
      InputError: an empty grid, a setting without values, or two values that look the same.
    """
    if not grid or not command.strip():
        raise InputError("nothing to sweep over; set command and grid, such as {'seed': (0, 1)}")
    for setting, values in grid.items():
        if not isinstance(values, list | tuple) or not values:
            raise InputError(f"grid[{setting!r}] is {values!r}; expected a tuple of values")
    runs = []
    for values in itertools.product(*grid.values()):
        point = dict(zip(grid, values, strict=True))
        name = ",".join(f"{key.split('.')[-1]}={_file_name(v)}" for key, v in point.items())
        flags = [f"--{key}={value}" for key, value in point.items()]
        folder = output / name
        words = [*shlex.split(command), *flags, f"--{folder_flag}={folder}"]
        runs.append(Run(name, folder, words))
    if len({run.name for run in runs}) < len(runs):
        raise InputError("two points of the grid have the same name; make their values distinct")
    return runs


def _file_name(value: Any) -> str:
    return "".join(c if c.isalnum() or c in "._-+" else "_" for c in str(value))


def run_all(runs: Sequence[Run], program: Sequence[str]) -> list[str]:
    """Runs what hasn't ended with status 0; returns the names of those that failed.

    Raises:
      InputError: a folder that holds the run of another command.
      SystemExit: a run was preempted, and so is the sweep; it carries the run's status.
    """
    for run in runs:
        if run.record.get("words", run.words) != run.words:
            raise InputError(f"{run.folder} holds the run of another command; set another output")
    failures = []
    for number, run in enumerate(runs, 1):
        if run.record.get("status") == 0:
            print(f"[{number}/{len(runs)}] {run.name}: done before")
            continue
        print(f"[{number}/{len(runs)}] codex-jax {shlex.join(run.words)}", flush=True)
        run.folder.mkdir(parents=True, exist_ok=True)
        status = subprocess.run([*program, *run.words], check=False).returncode
        record = json.dumps({"words": run.words, "status": status}) + "\n"
        files.atomic_write(run.folder / "sweep_run.json", record)
        if status == PREEMPTED:
            raise SystemExit(PREEMPTED)
        if status:
            failures.append(run.name)
    return failures


def write_results(runs: Sequence[Run], output: pathlib.Path, metric: str) -> str:
    """Writes runs.json and sweep.svg; returns the table, the smallest metric first."""
    curves = {run.name: read_curve(run.folder / "metrics.jsonl", metric) for run in runs}
    rows = [
        {
            "run": run.name,
            "status": run.record.get("status"),
            "step": curves[run.name][-1][0] if curves[run.name] else None,
            metric: curves[run.name][-1][1] if curves[run.name] else None,
        }
        for run in runs
    ]
    rows.sort(key=lambda row: (row[metric] is None, row[metric] or 0.0))
    files.atomic_write(output / "runs.json", json.dumps(rows, indent=1) + "\n")
    plot(curves, output / "sweep.svg", metric)
    return _format(rows)


def read_curve(path: pathlib.Path, metric: str) -> list[tuple[int, float]]:
    """Reads (step, value) of a metrics file; nothing where it doesn't exist or has no metric."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [(line["step"], line[metric]) for line in lines if metric in line]


def plot(
    curves: Mapping[str, Sequence[tuple[int, float]]], path: pathlib.Path, metric: str
) -> None:
    """Draws a line for each run; nothing without matplotlib or without values."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        print("no plot: matplotlib is not installed; pip install 'codex-jax[report]'")
        return
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        if curve:
            axes.plot(*zip(*curve, strict=True), label=name)
    axes.set(xlabel="step", ylabel=metric)
    if any(curves.values()):
        axes.legend(fontsize="small")
    figure.savefig(path)


def _format(rows: Sequence[Mapping[str, Any]]) -> str:
    header = list(rows[0])
    cells = [header, *([_cell(row[key]) for key in header] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
