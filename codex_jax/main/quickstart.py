"""The whole loop on one machine: each verb as the command that a person could type."""

import json
import pathlib
import shlex
import subprocess
import sys
import sysconfig
import time
from typing import NamedTuple


class Command(NamedTuple):
    """One step: a verb, and the paths that differ from run to run."""

    verb: str
    flags: dict[str, object]


def commands(run_dir: pathlib.Path, library: pathlib.Path) -> list[Command]:
    """What quickstart runs, in order; sizes and recipes stand in the gin files."""
    chains, tokenizer = run_dir / "chains", run_dir / "tokenizer.json"
    rows, checkpoint = run_dir / "rows", run_dir / "checkpoint"
    problems, completions = chains / "chains-test.jsonl", run_dir / "completions.jsonl"
    verdicts = run_dir / "evaluation"
    corpus = {"gin.LIBRARY": library, "gin.CHAINS": chains / "train"}
    judged = {"problems": problems, "completions": completions}
    return [
        Command("curate", {"output": chains}),
        Command("tokenizer", {**corpus, "output": tokenizer}),
        Command("data", {**corpus, "tokenizer": tokenizer, "output": rows}),
        Command("train", {"rows": rows, "checkpoint_dir": checkpoint}),
        Command(
            "sample",
            {
                "checkpoint_dir": checkpoint,
                "tokenizer": tokenizer,
                "problems": problems,
                "output": completions,
            },
        ),
        Command("evaluate", {**judged, "output": verdicts}),
        Command(
            "report",
            {
                **judged,
                "verdicts": verdicts / "verdicts.jsonl",
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

    Runs curate, tokenizer, data, train, sample, evaluate and report as commands, each printed.
    Stopped at any moment, the same command goes on from what is finished.

    Args:
      run_dir: Folder for everything it makes.
      configs: Folder with one gin file a verb.
      library: Folder of Python sources to learn from; this Python's own library unless given.
    """
    started = time.monotonic()
    run = pathlib.Path(run_dir)
    sources = pathlib.Path(library or sysconfig.get_path("stdlib"))
    for command in commands(run, sources):
        _run(command, configs)
    _print_results(run, time.monotonic() - started)


def _run(command: Command, configs: str) -> None:
    words = [command.verb, f"{configs}/{command.verb}.gin"]
    words += [f"--{name}={value}" for name, value in command.flags.items()]
    print(f"\n$ codex-jax {shlex.join(words)}", flush=True)
    status = subprocess.run([sys.executable, "-P", "-m", "codex_jax", *words]).returncode
    if status:
        # The verb has said why; its status is ours.
        raise SystemExit(status)


def _print_results(run: pathlib.Path, seconds: float) -> None:
    from codex_jax.evaluate.evaluate import table

    report = json.loads((run / "evaluation" / "report.json").read_text("utf-8"))
    print(f"\n{table(report)}\n\n{run / 'report.html'} shows it; {seconds / 60:.1f} minutes in all")
