"""`sweep`: one command over a grid of settings, a folder for each run, a table and a plot."""

import contextlib
import itertools
import json
import math
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from codex_jax import InputError, files
from codex_jax.main.bind import bind_words
from codex_jax.main.commands import select_command
from codex_jax.main.config_text import set_values

PROGRAM = (sys.executable, "-P", "-m", "codex_jax")
PREEMPTED = 75  # of a command that saved everything and wants to be run again: docs/pods.md
_TABLE, _PLOT, _RECORD = "runs.json", "sweep.svg", ".run.json"
_LONGEST_NAME = 240  # bytes, so that its record's name is no longer than file systems take
_IS_TABLE = files.has_text('"run": ')
_IS_RECORD = files.has_json_keys("words")
_OWN_FILES = {
    f"*{_RECORD}": _IS_RECORD,
    _TABLE: _IS_TABLE,
    _PLOT: files.is_beside(_TABLE, _IS_TABLE),
    "*": lambda path: path.is_dir() and _IS_RECORD(path.with_name(path.name + _RECORD)),
}


class Run(NamedTuple):
    """A point of the grid: its name, its folder and its command."""

    name: str
    folder: pathlib.Path
    words: list[str]

    @property
    def record(self) -> dict[str, Any]:
        """The words and the exit status of its last attempt, or nothing."""
        path = self._record_path
        return json.loads(path.read_text("utf-8")) if path.exists() else {}

    def write_record(self, **fields: Any) -> None:
        """Writes its words and `fields`, beside its folder: that is the command's alone."""
        files.atomic_write(self._record_path, json.dumps({"words": self.words, **fields}) + "\n")

    @property
    def _record_path(self) -> pathlib.Path:
        return self.folder.with_name(self.folder.name + _RECORD)


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
      output: Folder for the runs, a record of each, runs.json and sweep.svg.
      folder_flag: The command's setting for a run's own folder, output/NAME.
      metric: Name in a run's metrics.jsonl by which the table is sorted, smallest first.

    Raises:
      InputError: an empty grid, a setting without values, no such command, a setting or value
        that it doesn't take, or an output that can't be created or holds something else.
    """
    runs = make_runs(command, grid, pathlib.Path(output), folder_flag)
    check_settings(runs, folder_flag)
    files.claim_folder(output, _OWN_FILES, "output")
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
    check_settings(runs, folder_flag)
    return "\n".join(f"codex-jax {shlex.join(run.words)}" for run in runs)


def make_runs(
    command: str, grid: Mapping[str, Sequence], output: pathlib.Path, folder_flag: str
) -> list[Run]:
    """Returns the runs of every combination, in the grid's order.

    Raises:
      InputError: no such command, an empty grid, a setting without values, or two values that
        look the same.
    """
    if not grid or not command.strip():
        raise InputError("nothing to sweep over; set command and grid, such as {'seed': (0, 1)}")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"command is {command!r:.60}: {error}; set it to words") from None
    select_command(words)
    for setting, values in grid.items():
        if not isinstance(values, list | tuple) or not values:
            raise InputError(f"grid[{setting!r}] is {values!r}; expected a tuple of values")
        if not re.fullmatch(r"[A-Za-z_][\w./-]*", setting):
            raise InputError(f"grid names {setting!r}; expected a setting's name, such as 'seed'")
        if setting.replace("-", "_").split(".")[-1] == folder_flag:
            raise InputError(f"grid names {setting!r}, each run's own folder; remove it")
    runs = []
    for values in itertools.product(*grid.values()):
        point = dict(zip(grid, values, strict=True))
        name = ",".join(f"{key.split('.')[-1]}={_file_name(v)}" for key, v in point.items())
        flags = [f"--{key}={value}" for key, value in point.items()]
        if len(name.encode()) > _LONGEST_NAME:
            raise InputError(f"the run {name[:40]}… has too long a name; set shorter values")
        folder = output / name
        runs.append(Run(name, folder, [*words, *flags, f"--{folder_flag}={folder}"]))
    if len({run.name for run in runs}) < len(runs):
        raise InputError("two points of the grid have the same name; make their values distinct")
    return runs


def check_settings(runs: Sequence[Run], folder_flag: str) -> None:
    """Binds each run's command before the first one runs.

    Raises:
      InputError: a setting or value that the command doesn't take, or two runs with equal ones.
    """
    names: dict[frozenset[tuple[str, str]], str] = {}
    for run in runs:
        try:
            root = bind_words(run.words)
        except InputError as error:
            raise InputError(f"the run {run.name}: {error}") from None
        values = set_values(root).items()
        own = frozenset(
            (key, value) for key, value in values if not key.endswith(f".{folder_flag}")
        )
        if (former := names.setdefault(own, run.name)) != run.name:
            raise InputError(
                f"the runs {former} and {run.name} have equal settings; make their values distinct"
            )


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
        run.write_record()
        run.folder.mkdir(exist_ok=True)
        status = subprocess.run([*program, *run.words], check=False).returncode
        run.write_record(status=status)
        if status == PREEMPTED:
            raise SystemExit(PREEMPTED)
        if status:
            failures.append(run.name)
    return failures


def write_results(runs: Sequence[Run], output: pathlib.Path, metric: str) -> str:
    """Writes runs.json and sweep.svg; returns the table, the smallest metric first."""
    curves = {run.name: read_curve(run.folder / "metrics.jsonl", metric) for run in runs}
    rows: list[dict[str, Any]] = [
        {
            "run": run.name,
            "status": run.record.get("status"),
            "step": curves[run.name][-1][0] if curves[run.name] else None,
            metric: curves[run.name][-1][1] if curves[run.name] else None,
        }
        for run in runs
    ]
    rows.sort(key=lambda row: _rank(row[metric]))
    files.atomic_write(output / _TABLE, json.dumps(rows, indent=1) + "\n")
    if not any(curves.values()):
        print(f"no run has {metric!r} in its metrics.jsonl: the table has no order, and no plot")
    plot(curves, output / _PLOT, metric)
    return _format(rows)


def _rank(value: float | None) -> float:
    """Returns a value to sort by: what is absent, or no number, comes last."""
    return math.inf if value is None or math.isnan(value) else value


def read_curve(path: pathlib.Path, metric: str) -> list[tuple[int, float]]:
    """Reads (step, value) of a metrics file; nothing where it doesn't exist or has no metric.

    Lines that are torn, and values that are no numbers, are passed over.
    """
    curve: list[tuple[int, float]] = []
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError):
                fields = files.parse_json(line)
                curve.append((int(fields["step"]), float(fields[metric])))
    return curve


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
