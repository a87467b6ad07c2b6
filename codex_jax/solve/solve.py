"""The `solve` command: prompts solved by pieces, which are steps or statements."""

import collections
import json
import os
import pathlib
import statistics
from collections.abc import Sequence

from codex_jax import InputError, files, progress, ranges, records
from codex_jax.list_settings import check_distinct
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.solve import helper_rounds
from codex_jax.solve.helper_rounds import MOST_OUTLINES, HelperRounds
from codex_jax.solve.processes import open_processes
from codex_jax.solve.sampling import Sampler, Samples, is_prompts
from codex_jax.solve.solver import Result, Runner, Solver, Task, read_tasks, without_search
from codex_jax.solve.statement_rounds import MOST_ROUNDS, StatementRounds, name_round

_RANGES = {
    "samples_per_window": ranges.integer(1, 10_000),
    "beam": ranges.integer(1, 10_000),
    "candidates": ranges.integer(1, 10_000),
    "statements": ranges.integer(0, MOST_ROUNDS),
    "outlines": ranges.integer(0, MOST_OUTLINES),
    "workers": ranges.workers(),
}
_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
_SAMPLED = ("windows", "whole", "helpers", *map(name_round, range(1, MOST_ROUNDS)))
_IS_SEARCH = files.has_json_keys("task_id", "reason", lines=True)
_OWN_FILES = {
    "completions.jsonl": files.is_beside("search.jsonl", _IS_SEARCH),
    "search.jsonl": _IS_SEARCH,
}
for _name in _SAMPLED:
    _OWN_FILES[f"{_name}.jsonl"] = is_prompts
    _OWN_FILES[f"{_name}-completions.jsonl"] = files.has_json_keys(
        "task_id", "completion", lines=True
    )
    _OWN_FILES[f"{_name}-completions.jsonl.job.json"] = files.has_json_keys("model", "problems")


def solve(
    *,
    checkpoint_dir: str,
    tokenizer: str,
    problems: str,
    output: str,
    runner: Runner,
    sampling_params: SamplingParams | None = None,
    samples_per_window: int = 4,
    windows: Sequence[int] = (1, 2, 3),
    statements: int = 0,
    outlines: int = 0,
    beam: int = 4,
    candidates: int = 1,
    max_new_tokens: int = 300,
    stops: Sequence[str] = _STOPS,
    seed: int = 0,
    batch_size: int = 64,
    workers: int = 0,
) -> dict[str, int]:
    """Solves prompts by pieces: samples them, runs them, and merges those in equal states.

    Pieces are for listed steps, else helpers that the model documents, or statements. They run on
    inputs made from the prompt; tests and references aren't read. A second run continues a first.

    Args:
      checkpoint_dir: folder that train or import wrote.
      tokenizer: its tokenizer.json.
      problems: JSON Lines of problems; task_id, prompt and entry_point are read.
      output: folder to write into.
      runner: where pieces run.
      sampling_params: temperature and filters of the samples.
      samples_per_window: samples of each window, and of each prompt without a plan.
      windows: numbers of consecutive steps that are sampled as one prompt, or of statements.
      statements: positions at which a prompt without a list is sampled; 0: ordinary samples.
      outlines: most sets of helpers of the model's own, for a prompt without a list; 0: none.
      beam: states that are kept at each position.
      candidates: most completions of a prompt; the first is of the state with the most mass.
      max_new_tokens: most tokens of a sample.
      stops: strings before which a sample ends.
      seed: changes every sample.
      batch_size: samples that run at a time.
      workers: prompts that are searched at a time; 0 means one a core.

    Returns:
      Counts of prompts by result: solved by search, or by samples of the full prompt, and why.
    """
    ranges.check("solve", locals(), _RANGES)
    _check_windows(windows)
    files.claim_folder(folder := pathlib.Path(output), _OWN_FILES, "output", [problems])
    tasks = list(read_tasks(problems, by_statements=statements + outlines > 0).values())
    _check_sandbox(runner)
    sampling = {"sampling_params": sampling_params, "stops": stops, "seed": seed}
    sampling |= {"samples_per_problem": samples_per_window, "batch_size": batch_size}
    sampler = Sampler(folder, checkpoint_dir, tokenizer, max_new_tokens, sampling)
    solver = Solver(runner, tuple(windows), beam, candidates)
    workers = workers or len(os.sched_getaffinity(0))
    helpers = HelperRounds(solver, sampler, outlines, workers)
    rounds = StatementRounds(solver, sampler, statements, workers)
    return _write(folder, _answer_rest(tasks, _solve_all(tasks, helpers, rounds), sampler))


def _solve_all(
    tasks: Sequence[Task], helpers: HelperRounds, rounds: StatementRounds
) -> list[Result]:
    """Searches by steps, then by helpers and by statements for the tasks that list no steps."""
    solver, sampler = rounds.solver, rounds.sampler
    prompts = [p for task in tasks for p in task.prompts(solver.windows)]
    samples = sampler.sample([*prompts, *helpers.prompts(tasks)], "windows")
    attempts = helpers.solve(tasks, samples)
    results = _search_all(solver, tasks, samples, rounds.workers)
    if rounds.rounds:
        rest = helper_rounds.drop_solved(tasks, attempts)
        results = rounds.replace_results(rest, results, samples)
    return helper_rounds.merge_results(results, attempts)


def _check_sandbox(runner: Runner) -> None:
    """Refuses at once where no sandbox works."""
    with runner.open() as session:
        session.run("def f(): pass", "f", [])


def _check_windows(windows: Sequence[int]) -> None:
    if 1 not in windows or not all(1 <= length <= 5 for length in windows):
        raise InputError(f"windows is {tuple(windows)}; set it to lengths from 1 to 5, 1 included")
    check_distinct(windows=windows)


def _search_all(
    solver: Solver,
    tasks: Sequence[Task],
    samples: Samples,
    workers: int,
) -> list[Result]:
    """Searches in processes of their own; results in the tasks' order."""
    work = [
        (task, {p: samples[p] for p in task.prompts(solver.windows) if p in samples})
        for task in tasks
    ]
    results: list[Result] = []
    with (
        open_processes(len(work), workers) as map_chunks,
        progress.bar(desc="search", total=len(tasks), unit="prompt") as bar,
    ):
        for result in map_chunks(solver.solve_all, work):
            results.append(result)
            bar.update()
    return results


def _answer_rest(
    tasks: Sequence[Task], results: Sequence[Result], sampler: Sampler
) -> list[Result]:
    """Returns the results, with samples of the full prompt for each task that the search failed."""
    failed = [t.prompt for t, r in zip(tasks, results, strict=True) if t.plan and not r.completions]
    samples = sampler.sample_failed(failed, "whole")
    return [
        result if result.completions else without_search(task, samples, result.log)
        for task, result in zip(tasks, results, strict=True)
    ]


def _write(folder: pathlib.Path, results: Sequence[Result]) -> dict[str, int]:
    """Writes completions and the log; prints and returns the counts of results."""
    lines = "".join(json.dumps(result.log) + "\n" for result in results)
    files.atomic_write(folder / "search.jsonl", lines)
    records.write_jsonl(folder / "completions.jsonl", (c for r in results for c in r.completions))
    counts = collections.Counter(_outcome(result) for result in results)
    failed = (r.log["by_helpers"]["reason"] for r in results if "by_helpers" in r.log)
    without = collections.Counter(f"not by helpers: {reason}" for reason in failed)
    for outcome, count in [*counts.most_common(), *without.most_common()]:
        print(f"{count:6} {outcome}")
    tokens = [result.log["tokens"] for result in results]
    print(f"{folder}: {len(results)} prompts, {statistics.mean(tokens):,.0f} tokens a prompt")
    return dict(counts)


def _outcome(result: Result) -> str:
    """Returns how a prompt was answered: by search, or by samples of the full prompt, and why."""
    if not result.log["reason"]:
        return "solved by search"
    answer = "samples of the full prompt" if result.completions else "no answer"
    return f"{answer}: {result.log['reason']}"
