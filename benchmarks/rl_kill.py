"""`kill -9` of `codex-jax rl` at random moments: is the final policy that of a run left alone?

A small decoder of random weights learns from chains, by a reward of its own and the real sandbox.
One run is left alone; another is killed at random moments, started again each time, and left alone
at last. Compared are the bits of weights and optimizer, and the lines of metrics.jsonl.

    nice python benchmarks/rl_kill.py --kills 20 --output runs/rl_kill
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter

ROOT = pathlib.Path(__file__).parents[1]
MARK = "CODEX_JAX_RL_KILL"  # an environment variable that all processes of a run have
UPDATES, MOST_BATCHES = 2, 6  # steps of a batch; batches that a process may do until it is killed
GONE_S = 20.0  # in which a killed run's other processes must have ended


def count_vowels(prompts, completions, **columns):
    """Rewards text that random weights write, so that every step changes the policy."""
    del prompts, columns
    return [float(sum(letter in "aeiou(" for letter in text)) for text in completions]


def call(*words: object) -> None:
    """Runs a command of codex-jax; ends with its status where it fails."""
    command = [sys.executable, "-m", "codex_jax", *map(str, words)]
    if status := subprocess.run(command, check=False, cwd=ROOT).returncode:
        raise SystemExit(status)


def make_inputs(folder: pathlib.Path) -> int:
    """Writes chains, a tokenizer and a checkpoint of random weights; returns the end of text."""
    import jax

    from codex_jax import checkpoint, model
    from codex_jax.records import Problem, read_jsonl
    from codex_jax.tokenizer import Tokenizer

    call("curate", "chains", f"--output={folder / 'chains'}", "--train_chains=40")
    problems = read_jsonl(folder / "chains" / "chains-train.jsonl", Problem)
    texts = [p.prompt + (p.canonical_solution or "") for p in problems]
    bpe = Tokenizer.train(texts, vocab_size=600)
    bpe.save(folder / "tokenizer.json")
    sizes = {"layers": 2, "width": 64, "heads": 2, "max_length": 512}
    config = model.DecoderConfig(vocab_size=bpe.vocab_size, **sizes)
    params = jax.jit(model.init, static_argnums=0)(config, jax.random.key(0))
    with checkpoint.Checkpoints(folder / "start") as saved:
        card = checkpoint.Card(model=config.to_json(), tokenizer_hash=bpe.hash)
        saved.save(1, params, {"step": 1}, card)
    return bpe.eos_id


class Run:
    """A run in a folder, in one process after another."""

    def __init__(self, settings: argparse.Namespace, name: str, eos_id: int, steps: int):
        """Holds the command; every rule by which a run stops itself is disabled."""
        inputs, self.folder = settings.output, settings.output / name
        self.cache = str(inputs / "compiled")
        self.mark = f"{name}-{os.getpid()}"
        stops = ("equal_batches", "shadow_gap", "entropy_share", "ratio")
        self.command = [
            *(sys.executable, "-m", "codex_jax", "rl"),
            f"--problems={inputs / 'chains' / 'chains-train.jsonl'}",
            *(f"--tokenizer={inputs / 'tokenizer.json'}", f"--init_from={inputs / 'start'}"),
            *(f"--checkpoint_dir={self.folder}", f"--steps={steps}"),
            *(f"--save_every={settings.save_every}", "--rewards=benchmarks.rl_kill:count_vowels"),
            *("--prompts_per_batch=4", "--samples_per_prompt=4", "--sampler_rows=16"),
            *("--max_new_tokens=24", "--refills=1", f"--updates_per_batch={UPDATES}"),
            *("--learning_rate=3e-3", "--gin.Optimizer.warmup_steps=2"),
            f"--gin.SamplingParams.logit_bias={{{eos_id}: 3.0}}",
            *(f"--gin.StopRules.{name}=0" for name in stops),
        ]

    def start(self) -> subprocess.Popen:
        """Starts or continues it."""
        log = self.folder.with_suffix(".log").open("ab")
        environment = os.environ | {MARK: self.mark, "JAX_COMPILATION_CACHE_DIR": self.cache}
        return subprocess.Popen(self.command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def finish(self) -> tuple[float, float]:
        """Runs to the end; returns the seconds up to the first new line, and in all.

        Raises:
          SystemExit: it fails.
        """
        start, process = time.monotonic(), self.start()
        await_batches(process, self, 1)
        first = time.monotonic() - start
        if process.wait():
            sys.exit(f"the run failed: see {self.folder.with_suffix('.log')}")
        return first, time.monotonic() - start

    def lines(self) -> list[dict]:
        """The lines of its metrics, without seconds; a torn last line is left out."""
        path = self.folder / "metrics.jsonl"
        text = path.read_text("utf-8") if path.exists() else ""
        rows = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]

    def latest(self) -> int:
        """The step of its newest checkpoint."""
        from codex_jax import checkpoint

        return checkpoint.latest_step(str(self.folder)) or 0 if self.folder.exists() else 0

    def written(self) -> int:
        """The time at which its metrics were last written; 0 if there are none."""
        path = self.folder / "metrics.jsonl"
        return path.stat().st_mtime_ns if path.exists() else 0

    def survivors(self) -> list[str]:
        """Processes of it that still run."""
        running = []
        for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"{MARK}={self.mark}".encode() in path.read_bytes():
                    words = (path.parent / "cmdline").read_text().split("\0")
                    running.append(" ".join(words)[:120])
            except OSError:
                continue
        return running


class Chance:
    """Random moments: half before the first batch, half within a batch or the save behind it."""

    def __init__(self, seed: int, startup: float, batch: float):
        """Takes the seconds up to the first line of a run left alone, and those of a batch."""
        self.random, self.startup, self.batch = random.Random(seed), startup, batch

    def wait(self, process: subprocess.Popen, run: Run) -> None:
        """Waits until the next moment, or the end of the process."""
        batches = self.random.choice([0, self.random.randint(1, MOST_BATCHES)])
        pause = self.random.uniform(0, self.batch if batches else self.startup)
        if batches:
            await_batches(process, run, batches)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(pause)


def await_batches(process: subprocess.Popen, run: Run, count: int) -> None:
    """Waits until the process has written the lines of so many batches, or ends."""
    before, target = run.written(), run.latest() + UPDATES * count
    while process.poll() is None and (run.written() == before or len(run.lines()) < target):
        time.sleep(0.02)


def kill(run: Run, chance: Chance) -> str:
    """Kills it at a random moment; returns which, or "" if it ended before."""
    before, step = run.written(), run.latest()
    process = run.start()
    chance.wait(process, run)
    if process.poll() is not None:
        return ""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if any("tmp" in path.name for path in run.folder.rglob("*")):
        return "while saving"
    is_new = run.written() != before and len(run.lines()) > step
    return "in a later batch" if is_new else "before the first batch's end"


def await_end(run: Run) -> list[str]:
    """Waits for the processes that a killed run leaves; returns those that stay."""
    end = time.monotonic() + GONE_S
    while (left := run.survivors()) and time.monotonic() < end:
        time.sleep(0.2)
    return left


def compare(straight: Run, killed: Run) -> dict[str, bool]:
    """Whether weights, optimizer and metrics of two runs are equal."""
    from codex_jax import checkpoint

    sums = [checkpoint.read_card(str(run.folder)).checksums for run in (straight, killed)]
    steps = [checkpoint.latest_step(str(run.folder)) for run in (straight, killed)]
    is_weight = [{k: v for k, v in each.items() if k.startswith("params/")} for each in sums]
    return {
        "last steps": steps[0] == steps[1],
        "weights": bool(is_weight[0]) and is_weight[0] == is_weight[1],
        "weights and optimizer": sums[0] == sums[1],
        "metrics": straight.lines() == killed.lines(),
    }


def main() -> int:
    """Runs both, and prints what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=160, help="optimizer steps, two a batch")
    parser.add_argument("--save_every", type=int, default=2, help="batches between checkpoints")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--output", type=pathlib.Path, default="runs/rl_kill")
    settings = parser.parse_args()
    settings.output = settings.output.absolute()
    settings.output.mkdir(parents=True, exist_ok=True)
    eos_id = make_inputs(settings.output)
    straight, killed = (
        Run(settings, name, eos_id, settings.steps) for name in ("straight", "killed")
    )
    startup, seconds = straight.finish()
    batches = settings.steps // UPDATES
    print(f"left alone: {batches} batches in {seconds:.0f} s, the first after {startup:.0f} s")
    batch = (seconds - startup) / batches
    startup, _ = Run(settings, "warm", eos_id, 2 * UPDATES).finish()  # with all compiled before
    chance = Chance(settings.seed, startup, batch)
    moments, left = Counter(), []
    while sum(moments.values()) < settings.kills and (moment := kill(killed, chance)):
        moments[moment] += 1
        left += await_end(killed)
        print(f"kill {sum(moments.values())}: {moment}, {len(killed.lines())} lines")
    killed.finish()
    equal = compare(straight, killed)
    print(f"{sum(moments.values())} kills: {dict(moments)}; processes left: {left}")
    print(json.dumps(equal))
    return int(not all(equal.values()) or bool(left) or sum(moments.values()) < settings.kills)


if __name__ == "__main__":
    sys.exit(main())
