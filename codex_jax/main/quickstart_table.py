"""The quickstart's last table: one sample, the likeliest of many, and the search, side by side."""

import collections
import json
import pathlib
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from codex_jax import InputError, records
from codex_jax.evaluate.metrics.pass_at_k import estimate_mean
from codex_jax.evaluate.metrics.selection import mean_logprob, selected_pass_rate

_WIDTH = 24  # of a column

Group = tuple[list[records.Completion], list[bool]]  # samples of a problem, and whether they passed


def compare_methods(run: pathlib.Path) -> str:
    """Returns the share of problems that each method solves, by number of blocks, and its tokens.

    Args:
      run: the quickstart's folder, after its steps.
    """
    problems = records.read_jsonl(run / "chains" / "chains-test.jsonl", records.Problem)
    blocks = {problem.task_id: int(problem.extra["blocks"]) for problem in problems}
    samples = _read_groups(run / "completions.jsonl", run / "evaluation")
    answers = _read_groups(run / "solved" / "completions.jsonl", run / "solved-evaluation")
    most = max(len(group) for group, _ in samples.values())
    shares = {
        "one sample": {name: statistics.mean(passed) for name, (_, passed) in samples.items()},
        f"likeliest of {most}": {
            name: selected_pass_rate(mean_logprob(group), passed)
            for name, (group, passed) in samples.items()
        },
        "solve": {name: statistics.mean(passed) for name, (_, passed) in answers.items()},
    }
    sampled = statistics.mean(sum(s.tokens or 0 for s in group) for group, _ in samples.values())
    return format_methods(shares, blocks, [sampled / most, sampled, _mean_search_tokens(run)])


def _read_groups(completions: pathlib.Path, evaluation: pathlib.Path) -> dict[str, Group]:
    verdicts = records.read_jsonl(evaluation / "verdicts.jsonl", records.Verdict)
    passed = {(row.task_id, row.sample_index): row.passed for row in verdicts}
    groups: dict[str, Group] = collections.defaultdict(lambda: ([], []))
    for sample in records.read_jsonl(completions, records.Completion):
        key = sample.task_id, sample.sample_index
        if key not in passed:
            raise InputError(
                f"{evaluation}: no verdict for {key[0]}, sample {key[1]}; set run_dir to a new "
                "folder, or run evaluate again"
            )
        group, values = groups[sample.task_id]
        group.append(sample)
        values.append(passed[key])
    return dict(groups)


def _mean_search_tokens(run: pathlib.Path) -> float:
    lines = (run / "solved" / "search.jsonl").read_text("utf-8").splitlines()
    return statistics.mean(json.loads(line)["tokens"] for line in lines)


def format_methods(
    shares: Mapping[str, Mapping[str, float]], blocks: Mapping[str, int], tokens: Sequence[float]
) -> str:
    """Formats the table, in percent, with 95 % intervals over problems.

    Args:
      shares: method to the chance that it solves each problem; a problem it lacks is unsolved.
      blocks: the problems' numbers of blocks.
      tokens: of each method, a problem.
    """
    groups = {"all": list(blocks)}
    groups |= {
        f"blocks {n}": [t for t in blocks if blocks[t] == n] for n in sorted({*blocks.values()})
    }
    lines = [f"{'solved':12}" + "".join(f"{method:>{_WIDTH}}" for method in shares)]
    for name, tasks in groups.items():
        values = ([row.get(task, 0.0) for task in tasks] for row in shares.values())
        cells = (str(estimate_mean(np.array(row, float))) for row in values)
        lines.append(f"{name:12}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells))
    return "\n".join([*lines, f"{'tokens':12}" + "".join(f"{t:>{_WIDTH},.0f}" for t in tokens)])
