"""Judges the samples of the study's models, and writes the tables of docs/codex_s.md.

`python benchmarks/codex_s.py judge` calls it. A sample ends at its end-of-text marker. A program
that several models or temperatures wrote is judged once, and one that isn't Python fails without
being run. VERDICTS holds numbered folders of programs and verdicts: the same command continues
there, and other temperatures or more samples add to them.
"""

import argparse
import ast
import collections
import functools
import itertools
import json
import pathlib
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

END_OF_TEXT = "<|endoftext|>"
KS = (1, 10)
BENCHMARKS = {"HumanEval/": "HumanEval", "traces/": "held out"}

Program = tuple[str, str]  # task_id, completion
Counts = dict[str, tuple[int, int]]  # (samples, passed) by problem


class Sample(NamedTuple):
    """A sample of a model, its completion cut at the end-of-text marker."""

    temperature: float
    task_id: str
    index: int
    completion: str

    @property
    def program(self) -> Program:
        """What is judged; the same for equal samples."""
        return self.task_id, self.completion


def cut(completion: str) -> str:
    """Returns a completion up to the end-of-text marker, without white space at its end."""
    return completion.partition(END_OF_TEXT)[0].rstrip()


def read_samples(archive: pathlib.Path) -> list[Sample]:
    """The samples of STAGE.tar.gz; their problems are named "TEMPERATURE|TASK_ID"."""
    stage = archive.name.partition(".")[0]
    samples = []
    with tarfile.open(archive) as members:
        lines = members.extractfile(f"{stage}.jsonl")
        for row in map(json.loads, lines or ()):
            temperature, _, task_id = row["task_id"].partition("|")
            completion = cut(row["completion"])
            samples.append(Sample(float(temperature), task_id, row["sample_index"], completion))
    return samples


class Study:
    """Samples of several models, and what is known of their programs.

    Args:
      problems: The problems of all samples.
      verdicts: Folder of programs and verdicts.
      workers: Sandboxes at a time.
    """

    def __init__(self, problems: Sequence[dict], verdicts: pathlib.Path, workers: int):
        self.problems = {problem["task_id"]: problem for problem in problems}
        self.verdicts, self.workers = verdicts, workers
        self.passed: dict[Program, bool] = {}
        self.parses = functools.cache(self._parses)

    def _parses(self, program: Program) -> bool:
        task_id, completion = program
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            try:
                ast.parse(f"{self.problems[task_id]['prompt']}{completion}\n")
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                return False
        return True

    def resume(self) -> None:
        """Ends what a former call began, and reads its verdicts."""
        for path in sorted(self.verdicts.glob("*/completions.jsonl")):
            if not (path.parent / "judged/report.json").exists():
                self._evaluate(path.parent)
            self._read(path.parent)

    def judge(self, samples: Sequence[Sample]) -> None:
        """Judges the programs of these samples that have no verdict yet."""
        programs = dict.fromkeys(
            sample.program
            for sample in samples
            if sample.program not in self.passed and self.parses(sample.program)
        )
        if not programs:
            return
        number = len(list(self.verdicts.glob("*/completions.jsonl")))
        folder = self.verdicts / f"{number:03}"
        folder.mkdir(parents=True, exist_ok=True)
        indices: collections.Counter[str] = collections.Counter()
        rows = []
        for task_id, completion in programs:
            row = {"task_id": task_id, "completion": completion}
            rows.append(row | {"sample_index": indices[task_id]})
            indices[task_id] += 1
        _write_lines(folder / "problems.jsonl", [self.problems[name] for name in indices])
        _write_lines(folder / "completions.jsonl", rows)
        self._evaluate(folder)
        self._read(folder)

    def _evaluate(self, folder: pathlib.Path) -> None:
        files = {"problems": "problems.jsonl", "completions": "completions.jsonl"}
        words = [f"--{name}={folder / file}" for name, file in files.items()]
        words += [f"--output={folder / 'judged'}", f"--workers={self.workers}", "--ks=(1,)"]
        command = [sys.executable, "-m", "codex_jax", "evaluate", *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def _read(self, folder: pathlib.Path) -> None:
        programs = {
            (row["task_id"], row["sample_index"]): row["completion"]
            for row in _read_lines(folder / "completions.jsonl")
        }
        for row in _read_lines(folder / "judged/verdicts.jsonl"):
            completion = programs[row["task_id"], row["sample_index"]]
            self.passed[row["task_id"], completion] = row["verdict"] == "passed"

    def count(self, samples: Sequence[Sample]) -> Counts | None:
        """(samples, passed) of each problem; None where a program has no verdict."""
        counts: dict[str, list[int]] = {}
        for sample in samples:
            if not self.parses(sample.program):
                passed = False
            elif sample.program in self.passed:
                passed = self.passed[sample.program]
            else:
                return None
            count = counts.setdefault(sample.task_id, [0, 0])
            count[0] += 1
            count[1] += passed
        return {name: (count[0], count[1]) for name, count in counts.items()}


def _read_lines(path: pathlib.Path) -> Iterator[dict]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _write_lines(path: pathlib.Path, rows: Sequence[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def select(
    samples: Sequence[Sample], prefix: str, temperature: float, most: int = 10**9
) -> list[Sample]:
    """Returns the samples of a benchmark at a temperature, up to `most` of each problem."""
    return [
        sample
        for sample in samples
        if sample.temperature == temperature
        and sample.task_id.startswith(prefix)
        and sample.index < most
    ]


def interval(mean: float, low: float, high: float) -> str:
    """Percentages: the mean, and its 95 % interval."""
    return f"{100 * mean:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def tables(study: Study, models: Mapping[str, Sequence[Sample]], most: int) -> str:
    """Markdown: pass@k of each model and temperature with its paired gain, and T* by k."""
    lines = ["| problems | model | T | n | pass@1 | gain | pass@10 | gain | don't parse |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    curves: dict[tuple[str, str], dict[float, Counts]] = {}
    for prefix, title in BENCHMARKS.items():
        temperatures = sorted({sample.temperature for s in models.values() for sample in s})
        for temperature, (model, samples) in itertools.product(temperatures, models.items()):
            counts = study.count(select(samples, prefix, temperature, most))
            if counts:
                curves.setdefault((title, model), {})[temperature] = counts
                untrained = curves.get((title, "base"), {}).get(temperature)
                unparsed = [
                    not study.parses(sample.program)
                    for sample in select(samples, prefix, temperature)
                ]
                cells = [title, model, f"{temperature:g}", f"{min(n for n, _ in counts.values())}"]
                cells += _pass_cells(counts, None if model == "base" else untrained)
                cells.append(f"{sum(unparsed) / len(unparsed):.0%}")
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *best_temperatures(curves), ""])


def _pass_cells(counts: Counts, untrained: Counts | None) -> Iterator[str]:
    from codex_jax.evaluate.metrics.pass_at_k import estimate
    from codex_jax.evaluate.metrics.selection import paired_bootstrap

    for k, value in estimate(counts, KS).items():
        yield interval(value.mean, value.low, value.high) if value else ""
        if value and untrained and min(n for n, _ in untrained.values()) >= k:
            gain = paired_bootstrap(untrained, counts, k)
            yield interval(gain["difference"], gain["low"], gain["high"])
        else:
            yield ""


def best_temperatures(curves: Mapping[tuple[str, str], Mapping[float, Counts]]) -> list[str]:
    """Markdown: for each k the temperature of the highest pass@k, and its 95 % interval."""
    lines = ["| problems | model | k | T* | pass@k there | n |", "|---|---|---|---|---|---|"]
    for (title, model), every in curves.items():
        curve = {t: counts for t, counts in every.items() if t}  # greedy is one sample
        if len(curve) > 1:
            samples = min(n for counts in curve.values() for n, _ in counts.values())
            for k in (k for k in (1, 2, 3, 5, 10, 20) if k <= samples):
                best, low, high, value = best_temperature(curve, k)
                cells = [
                    title,
                    model,
                    f"{k}",
                    f"{best:g} ({low:g} to {high:g})",
                    f"{100 * value:.1f}",
                ]
                lines.append(f"| {' | '.join(cells)} | {samples} |")
    return lines


def best_temperature(
    curve: Mapping[float, Counts], k: int, draws: int = 10_000
) -> tuple[float, float, float, float]:
    """Chooses the temperature of the highest pass@k.

    Args:
      curve: Counts of the same problems at each temperature.
      k: The k of pass@k.
      draws: Resamples of the problems, the same ones for all temperatures.

    Returns:
      The temperature, the 95 % interval of those that resamples choose, and pass@k there.
    """
    import numpy as np

    from codex_jax.evaluate.metrics.pass_at_k import bootstrap_means, pass_at_k

    temperatures = sorted(curve)
    names = sorted(curve[temperatures[0]])
    chances = np.array([[pass_at_k(*curve[t][name], k) for name in names] for t in temperatures])
    means = np.array([bootstrap_means(row, seed=0, draws=draws) for row in chances])
    chosen = np.sort(means.argmax(axis=0))
    low, high = (temperatures[chosen[int(share * (draws - 1))]] for share in (0.025, 0.975))
    best = int(chances.mean(axis=1).argmax())
    return temperatures[best], low, high, float(chances[best].mean())


def judge_samples(options: argparse.Namespace, problems: Sequence[dict]) -> None:
    """Judges the samples that the options choose, and writes tables.md beside the verdicts."""
    models = {
        stage: read_samples(options.archives / f"{stage}.tar.gz")
        for stage in options.stages
        if (options.archives / f"{stage}.tar.gz").exists()
    }
    options.verdicts.mkdir(parents=True, exist_ok=True)
    study = Study(problems, options.verdicts, options.workers)
    study.resume()
    prefixes = [prefix for prefix in BENCHMARKS if BENCHMARKS[prefix] in options.benchmarks]
    for prefix, temperature in itertools.product(prefixes, options.temperatures):
        chosen = [select(s, prefix, temperature, options.samples) for s in models.values()]
        study.judge([sample for samples in chosen for sample in samples])
    text = tables(study, models, options.samples)
    (options.verdicts / "tables.md").write_text(text, "utf-8")
    print(text)
