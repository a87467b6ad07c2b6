"""The complete loop on one machine: each step is a command that a person could type."""

import json
import pathlib
import shlex
import subprocess
import sys
import sysconfig
import time
from typing import NamedTuple

from codex_jax import files

# Of what its steps write; each claims its own files.
_OWN_NAMES = [
    *("chains", "tokenizer*.json", "rows", "partial-rows", "checkpoint", "evaluation"),
    *("completions.jsonl*", "solved", "solved-evaluation", "report.html"),
]


class Step(NamedTuple):
    """A command, its gin file, and the paths that differ from run to run."""

    command: str
    flags: dict[str, object]

    @property
    def file(self) -> str:
        """Name of its gin file: the command's first word."""
        return f"{self.command.split()[0]}.gin"


def steps(run_dir: pathlib.Path, library: pathlib.Path) -> list[Step]:
    """Returns the steps in order; sizes and recipes are in the gin files."""
    chains, tokenizer = run_dir / "chains", run_dir / "tokenizer.json"
    rows, checkpoint = run_dir / "rows", run_dir / "checkpoint"
    problems, completions = chains / "chains-test.jsonl", run_dir / "completions.jsonl"
    verdicts, solved = run_dir / "evaluation", run_dir / "solved"
    solved_verdicts = run_dir / "solved-evaluation"
    corpus = {"gin.LIBRARY": library, "gin.CHAINS": chains / "train"}
    model = {"checkpoint_dir": checkpoint, "tokenizer": tokenizer}
    samples = {"problems": problems, "completions": completions}
    return [
        Step("curate chains", {"output": chains}),
        Step("tokenizer", {**corpus, "output": tokenizer}),
        Step("data build", {**corpus, "tokenizer": tokenizer, "output": rows}),
        Step("train", {"rows": rows, "checkpoint_dir": checkpoint}),
        Step("sample", {**model, "problems": problems, "output": completions}),
        Step("evaluate", {**samples, "output": verdicts}),
        Step("solve", {**model, "problems": problems, "output": solved}),
        Step(
            "evaluate",
            {
                "problems": problems,
                "completions": solved / "completions.jsonl",
                "output": solved_verdicts,
            },
        ),
        Step(
            "report",
            {
                **samples,
                "verdicts": verdicts / "verdicts.jsonl",
                "others": (str(solved_verdicts / "verdicts.jsonl"),),
                "metrics": checkpoint / "metrics.jsonl",
                "output": run_dir / "report.html",
            },
        ),
    ]


def quickstart(
    *,
    run_dir: str = "runs/quickstart",
    configs: str = "gin_configs/quickstart",
    library: str = "",
) -> None:
    """Trains a small Codex on Python's library and chains of string functions, and scores it.

    Runs curate chains, tokenizer, data build, train, sample, evaluate, solve and report as
    commands, each printed. Run again after an interruption, it continues from what is finished.

    Args:
      run_dir: Folder for everything it makes.
      configs: Folder with a gin file for each step.
      library: Folder of Python sources to learn from; by default the library of this Python.
    """
    start = time.monotonic()
    run = pathlib.Path(run_dir)
    files.claim_folder(run_dir, dict.fromkeys(_OWN_NAMES, lambda _: True), "run_dir")
    sources = pathlib.Path(library or sysconfig.get_path("stdlib"))
    for step in steps(run, sources):
        _run(step, configs)
    _print_results(run, time.monotonic() - start)


def _run(step: Step, configs: str) -> None:
    words = [*step.command.split(), f"{configs}/{step.file}"]
    words += [f"--{name}={value}" for name, value in step.flags.items()]
    print(f"\n$ codex-jax {shlex.join(words)}", flush=True)
    arguments = [sys.executable, "-P", "-m", "codex_jax", *words]
    if status := subprocess.run(arguments, check=False).returncode:
        raise SystemExit(status)  # the command has printed why


def _print_results(run: pathlib.Path, seconds: float) -> None:
    from codex_jax.evaluate.metrics.summary import table
    from codex_jax.main.quickstart_table import compare_methods

    report = json.loads((run / "evaluation" / "report.json").read_text("utf-8"))
    page = run / "report.html"
    print(f"\n{table(report)}\n\n{compare_methods(run)}")
    print(f"\n{page} shows it; {seconds / 60:.1f} minutes in all")
