r"""Measures `solve` on chains beside whole samples, at about equal numbers of sampled tokens.

    codex-jax curate chains --output=chains --seed=1 \
        --held_out='(0, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60)'
    python benchmarks/solve_chains.py CHECKPOINT TOKENIZER chains/chains-test.jsonl OUTPUT

The checkpoint must have been trained on that seed's chains/train: no test chain occurs there.
Methods: whole programs, one drawn at random, by agreement (MBR-exec) and by mean log-probability;
`solve` with windows of one step; `solve` with windows of one to three. A whole program and windows
of one step get six times as many samples as each window of three sizes, which is as many tokens.
Prints the share of problems solved by number of steps, with 95 % intervals (Wilson), and tokens.
"""

import argparse
import collections
import contextlib
import io
import math
import pathlib
import time

from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.metrics.mbr_exec import vote_counts
from codex_jax.evaluate.metrics.selection import mean_logprob, selected_pass_rate
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.records import Completion, Problem, Verdict, read_jsonl
from codex_jax.sample.generate import generate
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.solve.solve import solve

EQUAL_TOKENS = 6  # samples of one size of window for each sample of three sizes


def judge(options, completions: pathlib.Path, output: pathlib.Path, **settings):
    """Verdicts by (task_id, sample_index)."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluate(
            problems=options.problems,
            completions=str(completions),
            output=str(output),
            ks=(1,),
            sandbox=options.sandbox,
            **settings,
        )
    rows = read_jsonl(output / "verdicts.jsonl", Verdict)
    return {(row.task_id, row.sample_index): row for row in rows}


def sample_whole(options, folder: pathlib.Path) -> dict[str, dict[str, float]]:
    """Method to the chance that it solves each task."""
    output = folder / "whole.jsonl"
    generate(
        checkpoint_dir=options.checkpoint,
        tokenizer=options.tokenizer,
        problems=options.problems,
        output=str(output),
        sampling_params=SamplingParams(temperature=options.temperature, top_p=0.95),
        samples_per_problem=EQUAL_TOKENS * options.samples,
        max_new_tokens=options.new,
        batch_size=options.rows,
    )
    verdicts = judge(options, output, folder / "whole", mbr_exec=True)
    probes = folder / "whole" / "mbr_exec.jsonl"
    outputs = {(row.task_id, row.sample_index): row for row in read_jsonl(probes, Verdict)}
    groups = collections.defaultdict(list)
    for sample in read_jsonl(output, Completion):
        groups[sample.task_id].append(sample)
    methods: dict[str, dict[str, float]] = collections.defaultdict(dict)
    for task, group in groups.items():
        keys = [(task, sample.sample_index) for sample in group]
        passed = [verdicts[key].passed for key in keys]
        votes = vote_counts(group, outputs)
        scores = {
            "whole, random": [0.0] * len(group),
            "whole, agreement": [votes[key] for key in keys],
            "whole, mean log-probability": mean_logprob(group),
        }
        for method, values in scores.items():
            methods[method][task] = selected_pass_rate(values, passed)
    print_tokens("whole", sum(s.tokens or 0 for g in groups.values() for s in g), len(groups))
    return dict(methods)


def search(options, folder: pathlib.Path, name: str, **settings) -> dict[str, dict[str, float]]:
    """The method to 1 or 0 for each task."""
    output, started = folder / name.replace(" ", "-"), time.perf_counter()
    solve(
        checkpoint_dir=options.checkpoint,
        tokenizer=options.tokenizer,
        problems=options.problems,
        output=str(output),
        runner=ProgramRunner(sandbox=options.sandbox),
        sampling_params=SamplingParams(temperature=options.temperature, top_p=0.95),
        max_new_tokens=options.new,
        batch_size=options.rows,
        **settings,
    )
    seconds = time.perf_counter() - started
    completions = list(read_jsonl(output / "completions.jsonl", Completion))
    verdicts = judge(options, output / "completions.jsonl", folder / f"{output.name}-verdicts")
    first = {key[0]: float(row.passed) for key, row in verdicts.items() if key[1] == 0}
    print_tokens(name, sum(c.tokens or 0 for c in completions), len(first), seconds)
    return {name: first}


def print_tokens(name: str, tokens: int, tasks: int, seconds: float | None = None) -> None:
    time_taken = "" if seconds is None else f", {seconds:.0f} s in all"
    print(f"{name}: {tokens / tasks:,.0f} tokens a prompt{time_taken}")


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` tasks."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
    half /= 1 + z * z / count
    return max(0.0, middle - half), min(1.0, middle + half)


def print_table(methods: dict[str, dict[str, float]], steps: dict[str, int]) -> None:
    lengths = sorted(set(steps.values()))
    print(f"\n{'steps':30}" + "".join(f"{length:>16}" for length in lengths))
    for method, solved in methods.items():
        cells = []
        for length in lengths:
            values = [solved.get(task, 0.0) for task, n in steps.items() if n == length]
            share = sum(values) / len(values)
            low, high = wilson(share, len(values))
            cells.append(f"{share:.2f} ({low:.2f}–{high:.2f})".rjust(16))
        print(f"{method:30}" + "".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("checkpoint", "tokenizer", "problems", "output"):
        parser.add_argument(name)
    parser.add_argument("--samples", type=int, default=10, help="of each window")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--new", type=int, default=300, help="most tokens of a sample")
    parser.add_argument("--rows", type=int, default=128, help="samples that run at a time")
    parser.add_argument("--sandbox", default="auto")
    options = parser.parse_args()
    folder = pathlib.Path(options.output)
    steps = {p.task_id: p.extra["blocks"] for p in read_jsonl(options.problems, Problem)}
    single = {"windows": (1,), "samples_per_window": EQUAL_TOKENS * options.samples}
    methods = search(options, folder, "windows of 1 to 3", samples_per_window=options.samples)
    methods |= search(options, folder, "windows of 1", **single)
    print_table(methods | sample_whole(options, folder), steps)


if __name__ == "__main__":
    main()
