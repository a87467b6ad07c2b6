r"""Measures `solve` by statements beside whole samples at equal sampled tokens, on HumanEval.

    python benchmarks/solve_statements.py CHECKPOINT TOKENIZER HumanEval.jsonl.gz OUTPUT --count=40

A subset of the problems whose prompt has no list of steps is drawn by seed. The search samples each
by statements; then as many whole samples of it are made as have the search's number of tokens. The
programs of both, whole samples and all complete programs that the search sampled, are chosen from
by the same selection (`evaluate select`, by the prompt's examples and by behavior). Prints the
share of problems solved by each choice, at random, and by an oracle, with 95 % intervals
(bootstrap over problems), and the difference of the two selections.
"""

import argparse
import collections
import dataclasses
import json
import math
import pathlib
import random
import time

import numpy as np

from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.metrics.pass_at_k import bootstrap_means, percentile_interval
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.evaluate.select.select import select
from codex_jax.records import Completion, Problem, Verdict, read_jsonl, write_jsonl
from codex_jax.sample.generate import generate
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.solve.solve import solve
from codex_jax.solve.solver import read_task

STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")  # as solve's


def draw_problems(options, path: pathlib.Path) -> dict[str, Problem]:
    """Draws problems that are sampled by statements, and writes them."""
    rows = list(read_jsonl(options.problems, Problem))
    fitting = [p for p in rows if read_task(p, by_statements=True).function]
    print(f"{len(fitting)} of {len(rows)} problems are sampled by statements")
    drawn = random.Random(options.seed).sample(fitting, min(options.count, len(fitting)))
    write_jsonl(path, drawn)
    return {problem.task_id: problem for problem in drawn}


def run_search(options, folder: pathlib.Path, problems: pathlib.Path) -> dict[str, int]:
    """Runs the search; returns the tokens of each problem."""
    solve(
        checkpoint_dir=options.checkpoint,
        tokenizer=options.tokenizer,
        problems=str(problems),
        output=str(folder),
        runner=ProgramRunner(sandbox=options.sandbox, timeout_s=1.0),
        sampling_params=SamplingParams(temperature=options.temperature, top_p=0.95),
        samples_per_window=options.samples,
        statements=options.statements,
        outlines=options.outlines,
        beam=options.beam,
        max_new_tokens=options.new,
        stops=STOPS,
        batch_size=options.rows,
        workers=options.workers,
    )
    rows = [json.loads(line) for line in (folder / "search.jsonl").open()]
    return {row["task_id"]: row["tokens"] for row in rows}


def read_pool(folder: pathlib.Path, problems: dict[str, Problem]) -> list[Completion]:
    """Returns all complete programs that the search sampled, its prefixes in front."""
    samples = [
        sample
        for path in sorted(folder.glob("*-completions.jsonl"))
        for sample in read_jsonl(path, Completion)
    ]
    pool = []
    for problem in problems.values():
        own = [s for s in samples if s.task_id.startswith(problem.prompt)]
        for number, sample in enumerate(own):
            text = sample.task_id[len(problem.prompt) :] + sample.completion
            pool.append(_bare(sample, problem.task_id, number, text))
    return pool


def _bare(sample: Completion, task_id: str, number: int, text: str) -> Completion:
    """A sample without its log-probability, which is that of a part in the search's."""
    return dataclasses.replace(
        sample,
        task_id=task_id,
        sample_index=number,
        completion=text,
        mean_logprob=None,
        sum_logprob=None,
        extra={},
    )


def sample_whole(
    options, folder: pathlib.Path, problems: dict[str, Problem], tokens: dict[str, int]
) -> list[Completion]:
    """Samples whole programs; returns the first ones of each that have the search's tokens."""
    first = collections.defaultdict(list)
    for sample in read_jsonl(folder / "search" / "windows-completions.jsonl", Completion):
        first[sample.task_id].append(sample.tokens or 1)
    with (folder / "whole-requests.jsonl").open("w") as out:
        for name, problem in problems.items():
            mean = sum(first[problem.prompt]) / len(first[problem.prompt])
            count = math.ceil(1.25 * tokens[name] / mean) + 2
            body = {"prompt": problem.prompt, "n": min(count, 100), "model": "m"}
            line = {"custom_id": name, "method": "POST", "url": "/v1/completions", "body": body}
            out.write(json.dumps(line) + "\n")
    generate(
        checkpoint_dir=options.checkpoint,
        tokenizer=options.tokenizer,
        problems=str(folder / "whole-requests.jsonl"),
        output=str(folder / "whole-samples.jsonl"),
        sampling_params=SamplingParams(temperature=options.temperature, top_p=0.95),
        max_new_tokens=options.new,
        stops=STOPS,
        batch_size=options.rows,
    )
    groups = collections.defaultdict(list)
    for sample in read_jsonl(folder / "whole-samples.jsonl", Completion):
        groups[sample.task_id].append(sample)
    rows = []
    for name, group in groups.items():
        spent = 0
        for sample in sorted(group, key=lambda s: s.sample_index):
            if spent + (sample.tokens or 0) <= tokens[name] or not spent:
                spent += sample.tokens or 0
                rows.append(_bare(sample, name, int(sample.sample_index), sample.completion))
    return rows


def judge(options, problems: pathlib.Path, completions: pathlib.Path) -> dict[str, list[bool]]:
    """Whether each sample passes, by task."""
    output = pathlib.Path(options.output) / f"{completions.stem}-verdicts"
    evaluate(problems=str(problems), completions=str(completions), output=str(output), ks=(1,))
    passed = collections.defaultdict(list)
    for row in read_jsonl(output / "verdicts.jsonl", Verdict):
        passed[row.task_id].append(row.passed)
    return passed


def choose(options, problems: pathlib.Path, completions: pathlib.Path) -> dict[str, list[bool]]:
    """Whether the program that the selection chooses passes, by task."""
    output = completions.with_name(completions.stem + "-chosen.jsonl")
    runner = ProgramRunner(sandbox=options.sandbox, timeout_s=1.0)
    select(problems=str(problems), completions=str(completions), output=str(output), runner=runner)
    return judge(options, problems, output)


def show(name: str, values: list[float]) -> None:
    low, high = percentile_interval(bootstrap_means(np.array(values), seed=0, draws=4000))
    print(f"{name:44}{100 * np.mean(values):6.1f} ({100 * low:.1f} to {100 * high:.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("checkpoint", "tokenizer", "problems", "output"):
        parser.add_argument(name)
    parser.add_argument("--count", type=int, default=40, help="problems")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=4, help="of each state")
    parser.add_argument("--statements", type=int, default=4)
    parser.add_argument("--outlines", type=int, default=0, help="sets of helpers; 0: none")
    parser.add_argument("--beam", type=int, default=2)
    parser.add_argument("--temperature", type=float, default=0.6)
    parser.add_argument("--new", type=int, default=200, help="most tokens of a sample")
    parser.add_argument("--rows", type=int, default=32, help="samples that run at a time")
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--workers", type=int, default=2, help="problems searched at a time")
    options = parser.parse_args()
    folder = pathlib.Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "problems.jsonl"
    problems = draw_problems(options, path)
    started = time.perf_counter()
    tokens = run_search(options, folder / "search", path)
    print(f"search: {time.perf_counter() - started:.0f} s")
    started = time.perf_counter()
    whole = sample_whole(options, folder, problems, tokens)
    print(f"whole samples: {time.perf_counter() - started:.0f} s")
    pool = read_pool(folder / "search", problems)
    solved: dict[str, dict[str, list[bool]]] = {}
    for name, rows in {"whole": whole, "statements": pool}.items():
        file = folder / f"{name}.jsonl"
        write_jsonl(file, rows)
        spent = sum(row.tokens or 0 for row in rows) / len(problems)
        print(f"{name}: {len(rows) / len(problems):.1f} programs, {spent:,.0f} tokens a problem")
        solved[name] = judge(options, path, file)
        solved[f"{name}, chosen"] = choose(options, path, file)
    solved["statements, solve's own choice"] = judge(
        options, path, folder / "search" / "completions.jsonl"
    )
    for name, passed in solved.items():
        values = [passed.get(task, [False]) for task in problems]
        show(name + ("" if "cho" in name else ", at random"), [sum(v) / len(v) for v in values])
        if "cho" not in name:
            show(f"{name}, oracle", [float(any(v)) for v in values])
    pairs = [
        sum(solved["statements, chosen"].get(task, [])) - sum(solved["whole, chosen"].get(task, []))
        for task in problems
    ]
    show("statements - whole, chosen", [float(d) for d in pairs])


if __name__ == "__main__":
    main()
