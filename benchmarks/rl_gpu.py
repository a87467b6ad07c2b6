"""Policy gradients on one GPU, and what held-out problems say of them, in one command.

    sh benchmarks/rl_gpu.sh CHECKPOINT TOKENIZER PROBLEMS HELD_OUT OUTPUT [--steps=60]

CHECKPOINT is a folder that import or train wrote (SmolLM2-135M), PROBLEMS have two cases or more,
HELD_OUT has others; further flags are `codex-jax rl`'s. Held-out problems are sampled by the first
weights beside the training, and by its newest checkpoint afterwards, be the steps done or the time
over; both are judged, and OUTPUT/report.json has pass@1 and the gain, paired by problem. It needs a
sandbox on the machine (bubblewrap or gVisor), and no network. Run again, it continues.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence

from codex_jax.evaluate.metrics.selection import paired_bootstrap
from codex_jax.evaluate.verdicts import Cause
from codex_jax.records import Verdict, read_jsonl
from codex_jax.train.preemption import EXIT_STATUS as PREEMPTED

SETTINGS = ("--prompts_per_batch=64", "--samples_per_prompt=16", "--refills=1", "--microbatches=8")
SETTINGS += ("--max_new_tokens=80", "--sampler_rows=1024", "--sampler_dtype=bfloat16")
SETTINGS += ("--gin.Compute.dtype='bfloat16'", "--learning_rate=1e-5", "--beta2=0.98")
SETTINGS += ("--warmup_steps=5", "--save_every=20", "--keep_latest=1")
MEMORY = {"rl": 0.35, "sample": 0.1, "evaluate": 0.05}  # share of the device's, at the same time
SAVING_S = 45.0  # most seconds from SIGTERM to the saved checkpoint


class Clock:
    """Seconds since the start, and until the end."""

    def __init__(self, seconds: float):
        """Starts."""
        self._start, self._seconds = time.monotonic(), seconds

    def left_s(self) -> float:
        """Seconds until the end."""
        return self._start + self._seconds - time.monotonic()

    def report(self, text: str) -> None:
        """Prints a line with the seconds since the start."""
        print(f"{self._seconds - self.left_s():6.1f} s  {text}", flush=True)


def start(name: str, words: Sequence[object], log: pathlib.Path) -> subprocess.Popen:
    """Starts a command of codex-jax, whose output goes to a log."""
    environment = os.environ | {"XLA_PYTHON_CLIENT_MEM_FRACTION": str(MEMORY[name])}
    if name == "evaluate":
        environment["JAX_PLATFORMS"] = "cpu"
    command = [sys.executable, "-m", "codex_jax", name, *map(str, words)]
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


def wait(process: subprocess.Popen, log: pathlib.Path) -> None:
    """Waits for a command, and ends with its status where it fails."""
    if status := process.wait():
        print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
        raise SystemExit(status)


def train(options: argparse.Namespace, flags: Sequence[str], clock: Clock) -> int:
    """Trains until the run ends or the time is over; returns the newest step."""
    folder, log = options.output / "policy", options.output / "rl.log"
    words = [*SETTINGS, f"--steps={options.steps}", f"--init_from={options.checkpoint}"]
    words += [f"--tokenizer={options.tokenizer}", f"--problems={options.problems}"]
    words += [f"--init_step={options.init_step}"] if options.init_step is not None else []
    process = start("rl", [*words, f"--checkpoint_dir={folder}", *flags], log)
    try:
        process.wait(timeout=max(1.0, clock.left_s() - options.reserve))
    except subprocess.TimeoutExpired:
        process.terminate()
        clock.report("the time of the training is over")
        try:
            process.wait(timeout=SAVING_S)
        except subprocess.TimeoutExpired:
            process.kill()
    steps = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    if process.wait() not in (0, PREEMPTED):
        print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
        if not steps:
            raise SystemExit(process.returncode)
    return max(steps)


def start_sampling(
    options: argparse.Namespace, name: str, checkpoint: pathlib.Path, step: int | None
) -> subprocess.Popen:
    """Starts to sample the held-out problems."""
    words = [f"--checkpoint_dir={checkpoint}", f"--tokenizer={options.tokenizer}"]
    words += [f"--step={step}"] if step is not None else []
    words += [f"--problems={options.held_out}", f"--samples_per_problem={options.samples}"]
    words += [f"--output={options.output / f'{name}.jsonl'}", f"--batch_size={options.rows}"]
    words += [f"--max_new_tokens={options.new}", f"--temperature={options.temperature}"]
    log = options.output / f"sample_{name}.log"
    return start("sample", [*words, "--top_p=0.95", "--dtype=bfloat16"], log)


def judge(options: argparse.Namespace, name: str) -> dict[str, tuple[int, int]]:
    """(samples, passed) of each held-out problem."""
    log, folder = options.output / f"evaluate_{name}.log", options.output / name
    words = [f"--problems={options.held_out}", f"--output={folder}", "--ks=(1,)"]
    words.append(f"--completions={options.output / f'{name}.jsonl'}")
    wait(start("evaluate", words, log), log)
    counts: dict[str, list[bool]] = collections.defaultdict(list)
    for row in read_jsonl(folder / "verdicts.jsonl", Verdict):
        if row.cause != Cause.LEFT_OUT:
            counts[row.task_id].append(row.passed)
    return {task_id: (len(passed), sum(passed)) for task_id, passed in counts.items()}


def summarize(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], step: int
) -> dict[str, object]:
    """pass@1 before and after, and the gain with its 95 % interval."""
    means = [sum(c / n for n, c in part.values()) / len(part) for part in (before, after)]
    return {"step": step, "before": means[0], "after": means[1]} | paired_bootstrap(before, after)


def main() -> None:
    """Measures, trains and measures again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("checkpoint", "tokenizer", "problems", "held_out", "output"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--init_step", type=int, help="of CHECKPOINT; default: the newest")
    parser.add_argument("--steps", type=int, default=60, help="updates")
    parser.add_argument("--seconds", type=float, default=280.0, help="of the whole command")
    parser.add_argument("--reserve", type=float, default=60.0, help="of them, after the training")
    parser.add_argument("--samples", type=int, default=10, help="of a held-out problem")
    parser.add_argument("--temperature", type=float, default=0.8, help="of these samples")
    parser.add_argument("--new", type=int, default=80, help="most tokens of these samples")
    parser.add_argument("--rows", type=int, default=256, help="of them, at a time")
    options, flags = parser.parse_known_args()
    clock = Clock(options.seconds)
    options.output.mkdir(parents=True, exist_ok=True)
    before = start_sampling(options, "before", options.checkpoint, options.init_step)
    try:
        step = train(options, flags, clock)
        clock.report(f"trained: {step} steps")
        after = start_sampling(options, "after", options.output / "policy", step)
        wait(before, options.output / "sample_before.log")
        counts = judge(options, "before")
        wait(after, options.output / "sample_after.log")
    finally:
        before.kill()
    report = summarize(counts, judge(options, "after"), step)
    (options.output / "report.json").write_text(json.dumps(report) + "\n", "utf-8")
    clock.report(json.dumps(report))


if __name__ == "__main__":
    main()
