r"""Measures `solve` on chains beside whole samples, at equal numbers of sampled tokens.

    codex-jax curate chains --output=chains --seed=1 \
        --held_out=0,60,60,60,60,60,60,60,60,60,60,60,60
    python benchmarks/solve_chains.py CHECKPOINT TOKENIZER chains OUTPUT

The checkpoint must have been trained on that seed's chains/train: no test chain occurs there. Of a
length without test chains (one block) training chains are taken.

Methods: `solve` with windows of one to three steps; `solve` with windows of one; whole programs,
one drawn at random, by agreement (MBR-exec) and by mean log-probability. Windows of one step get
four times as many samples, which is about as many tokens; of a prompt's whole programs the first
ones count that have the search's tokens together.

Prints the share of problems solved by number of steps, with 95 % intervals (Wilson), and tokens;
the factor by which each further block multiplies the share (the likeliest f of share = f ** blocks,
with its 95 % interval by likelihood ratio); and by block the share of its one-step samples that
pass, and of the chains with it that are solved.
"""

import argparse
import collections
import contextlib
import io
import json
import math
import pathlib
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from codex_jax.curate.blocks import DOMAINS
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.metrics.mbr_exec import vote_counts
from codex_jax.evaluate.metrics.selection import mean_logprob, selected_pass_rate
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.records import Completion, Problem, Verdict, read_jsonl, write_jsonl
from codex_jax.sample.generate import generate
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.solve.solve import solve

SINGLE = 4  # samples of a window of one step for each sample of three sizes of window
WHOLE = 8  # samples of a full prompt likewise, which are more tokens than the search's


def read_chains(folder: pathlib.Path, lengths: Sequence[int], count: int) -> list[Problem]:
    """Returns `count` chains of each length: test chains, or those for training where none are."""
    chains: dict[int, list[Problem]] = collections.defaultdict(list)
    for name in ("chains-test.jsonl", "chains-train.jsonl"):
        read: dict[int, list[Problem]] = collections.defaultdict(list)
        for problem in read_jsonl(folder / name, Problem):
            read[problem.extra["blocks"]].append(problem)
        chains = read | chains
    return [problem for length in lengths for problem in chains[length][:count]]


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


def cut_to_tokens(samples: Iterable[Completion], tokens: Mapping[str, int]) -> list[Completion]:
    """Returns each task's first samples that have no more tokens than its number, and at least one.

    Args:
      samples: of all tasks.
      tokens: by task_id.
    """
    spent: collections.Counter[str] = collections.Counter()
    rows = []
    for sample in sorted(samples, key=lambda sample: (sample.task_id, sample.sample_index)):
        first = sample.task_id not in spent
        spent[sample.task_id] += sample.tokens or 0
        if first or spent[sample.task_id] <= tokens[sample.task_id]:
            rows.append(sample)
    return rows


def sample_whole(
    options, folder: pathlib.Path, tokens: Mapping[str, int]
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Method to the chance that it solves each task; and the tokens of each."""
    output = folder / "whole.jsonl"
    generate(
        checkpoint_dir=options.checkpoint,
        tokenizer=options.tokenizer,
        problems=options.problems,
        output=str(folder / "whole-samples.jsonl"),
        sampling_params=SamplingParams(temperature=options.temperature, top_p=0.95),
        samples_per_problem=WHOLE * options.samples,
        max_new_tokens=options.new,
        batch_size=options.rows,
    )
    samples = cut_to_tokens(read_jsonl(folder / "whole-samples.jsonl", Completion), tokens)
    write_jsonl(output, samples)
    verdicts = judge(options, output, folder / "whole", mbr_exec=True)
    probes = folder / "whole" / "mbr_exec.jsonl"
    outputs = {(row.task_id, row.sample_index): row for row in read_jsonl(probes, Verdict)}
    groups = collections.defaultdict(list)
    for sample in samples:
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
    spent = {task: sum(s.tokens or 0 for s in group) for task, group in groups.items()}
    return dict(methods), spent


def search(
    options, folder: pathlib.Path, name: str, **settings
) -> tuple[dict[str, float], dict[str, int]]:
    """1 or 0 for each task, and its tokens."""
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
    print(f"{name}: {time.perf_counter() - started:.0f} s in all")
    logs = map(json.loads, (output / "search.jsonl").open())
    tokens = {log["task_id"]: log["tokens"] for log in logs}
    verdicts = judge(options, output / "completions.jsonl", folder / f"{output.name}-verdicts")
    return {key[0]: float(row.passed) for key, row in verdicts.items() if key[1] == 0}, tokens


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` tasks."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
    half /= 1 + z * z / count
    return max(0.0, middle - half), min(1.0, middle + half)


def fit_factor(
    lengths: Sequence[int], values: Sequence[float]
) -> tuple[float, tuple[float, float]]:
    """Returns the likeliest f of share = f ** length, and its 95 % interval by likelihood ratio.

    Args:
      lengths: blocks of each task.
      values: the chance that each is solved, 0 to 1.
    """
    factors = np.linspace(0.001, 0.9999, 10_000)
    solved = np.zeros(len(factors))
    for length, value in zip(lengths, values, strict=True):
        share = factors**length
        solved += value * np.log(share) + (1 - value) * np.log1p(-share)
    likely = factors[solved >= solved.max() - 1.92]
    return float(factors[solved.argmax()]), (float(likely[0]), float(likely[-1]))


def print_table(methods: Mapping[str, Mapping[str, float]], steps: Mapping[str, int]) -> None:
    """Prints the share of tasks that each method solves, by number of steps."""
    for length in sorted(set(steps.values())):
        print(f"\n{length} blocks")
        tasks = [task for task, blocks in steps.items() if blocks == length]
        for method, solved in methods.items():
            share = sum(solved.get(task, 0.0) for task in tasks) / len(tasks)
            low, high = wilson(share, len(tasks))
            print(f"  {method:30}{share:.2f} ({low:.2f}–{high:.2f}) of {len(tasks)}")
    print("\nfactor a block")
    for method, solved in methods.items():
        factor, (low, high) = fit_factor(
            list(steps.values()), [solved.get(task, 0.0) for task in steps]
        )
        print(f"  {method:30}{factor:.4f} ({low:.4f}–{high:.4f})")


def print_tokens(tokens: Mapping[str, Mapping[str, int]], steps: Mapping[str, int]) -> None:
    """Prints the mean number of sampled tokens of a prompt, by method and number of steps."""
    lengths = sorted(set(steps.values()))
    print(f"\n{'tokens a prompt, blocks:':32}" + "".join(f"{length:>7}" for length in lengths))
    for method, spent in tokens.items():
        means = [
            np.mean([spent.get(task, 0) for task, blocks in steps.items() if blocks == length])
            for length in lengths
        ]
        print(f"  {method:30}" + "".join(f"{mean:7,.0f}" for mean in means))


def print_blocks(
    chains: Sequence[Problem], single: Mapping[str, float], methods: Sequence[Mapping[str, float]]
) -> None:
    """Prints each block with the share of its own samples that pass, and of chains with it.

    Args:
      chains: the problems.
      single: the chance that a sample of a problem passes.
      methods: searches, each with the problems that it solves.
    """
    prefix = chains[0].task_id.split("/")[0]
    (domain,) = (domain for domain in DOMAINS.values() if domain.prefix == prefix)
    print("\nof its one-step samples, and of the chains with it (windows of 1 to 3, of 1)")
    for number, (text, _) in enumerate(domain.blocks):
        having = [p for p in chains if number in p.extra["chain"]]
        own = [single[p.task_id] for p in having if p.extra["blocks"] == 1]
        shares = [
            np.mean([solved.get(p.task_id, 0.0) for p in having if p.extra["blocks"] > 1])
            for solved in methods
        ]
        mean = f"{np.mean(own):.2f}" if own else "-"
        print(f"  {mean:>6}" + "".join(f"{share:6.2f}" for share in shares) + f"  {text}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("checkpoint", "tokenizer", "chains", "output"):
        parser.add_argument(name)
    parser.add_argument("--lengths", type=int, nargs="+", default=list(range(1, 14)))
    parser.add_argument("--count", type=int, default=60, help="most chains of a length")
    parser.add_argument("--samples", type=int, default=10, help="of each window")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--new", type=int, default=300, help="most tokens of a sample")
    parser.add_argument("--rows", type=int, default=128, help="samples that run at a time")
    parser.add_argument("--sandbox", default="auto")
    options = parser.parse_args()
    folder = pathlib.Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    chains = read_chains(pathlib.Path(options.chains), options.lengths, options.count)
    options.problems = str(folder / "problems.jsonl")
    write_jsonl(options.problems, chains)
    steps = {problem.task_id: problem.extra["blocks"] for problem in chains}
    names = ("windows of 1 to 3", "windows of 1")
    merged, tokens = search(options, folder, names[0], samples_per_window=options.samples)
    settings = {"windows": (1,), "samples_per_window": SINGLE * options.samples}
    single, single_tokens = search(options, folder, names[1], **settings)
    whole, whole_tokens = sample_whole(options, folder, tokens)
    print_table({names[0]: merged, names[1]: single} | whole, steps)
    print_tokens({names[0]: tokens, names[1]: single_tokens, "whole": whole_tokens}, steps)
    print_blocks(chains, whole["whole, random"], (merged, single))


if __name__ == "__main__":
    main()
