"""The choice of one program for each prompt, and the command `evaluate select`."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codex_jax import files, progress, ranges, records
from codex_jax.evaluate.problems import formats
from codex_jax.evaluate.problems.samples import load_completions
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.evaluate.select.evidence import Candidates, collect_evidence
from codex_jax.evaluate.select.model_tests import read_tests
from codex_jax.evaluate.select.prompts import Prompt, read_prompts, read_samples
from codex_jax.evaluate.select.ranking import Evidence, choose, score_samples

_VERSION = 2  # of the evidence: rows of another one are made again
IS_SELECTION = files.has_json_keys("task_id", "completion", "key", "evidence", lines=True)


def select(
    *,
    problems: str,
    completions: str,
    output: str,
    runner: ProgramRunner,
    model_tests: str = "",
    workers: int = 0,
) -> int:
    """Chooses one completion for each prompt, by the prompt and by what the programs do.

    Only prompts are read of the problems. The order is: examples of the prompt that are satisfied;
    programs that crash on all inputs last; the model's own tests, if there are any; the mass of
    equal behaviors; log-probability. A second run does only what is missing.

    Args:
      problems: JSON Lines of problems, or humaneval; tests and references may be absent.
      completions: JSON Lines of completions; several of one task_id are its samples.
      output: JSON Lines to write: the chosen completions, with the evidence of all samples.
      runner: where programs run.
      model_tests: completions of the prompts of `evaluate tests`; empty for none.
      workers: sandboxes that run at a time; 0 means one a core.

    Returns:
      The number of chosen completions.

    Raises:
      InputError: unusable input, or no sandbox works here.
    """
    ranges.check("select", {"workers": workers}, {"workers": ranges.workers()})
    tasks = formats.read_problems(problems)
    samples = load_completions(completions, tasks)
    prompts = read_prompts(tasks.values())
    files.claim_file(output, IS_SELECTION, "output", [problems, completions, model_tests])
    chosen = select_programs(
        prompts, samples, pathlib.Path(output), runner, model_tests=model_tests, workers=workers
    )
    print(f"{output}: {len(chosen)} programs of {len(samples)} samples")
    return len(chosen)


def select_programs(
    prompts: Mapping[str, Prompt],
    samples: Sequence[records.Completion],
    output: pathlib.Path,
    runner: ProgramRunner,
    *,
    model_tests: str = "",
    workers: int = 0,
) -> list[records.Completion]:
    """Returns the chosen completions, in the prompts' order, and writes them; see `select`."""
    files.claim_file(output, IS_SELECTION, "output")
    own_tests = records.read_input(model_tests, records.Completion) if model_tests else ()
    tests_by_task = read_tests(prompts, own_tests)
    tasks = [
        Candidates(prompts[name], group, tests_by_task.get(name, ()))
        for name, group in read_samples(samples, prompts).items()
    ]
    done = _read_done(output)
    missing = [task for task in tasks if _key(task, runner) not in done]
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        progress.bar(
            desc="selecting", total=len(tasks), done=len(tasks) - len(missing), unit="task"
        ) as bar,
        records.open_text(output, "a") as out,
    ):
        for task, rows in _collect_all(missing, runner, workers or len(os.sched_getaffinity(0))):
            row = _row(task, rows, _key(task, runner))
            done[row.extra["key"]] = row
            out.write(records.to_line(row) + "\n")
            out.flush()
            bar.update(1)
    chosen = [done[_key(task, runner)] for task in tasks]
    records.write_jsonl(output, chosen)
    return chosen


def _read_done(path: pathlib.Path) -> dict[str, records.Completion]:
    files.repair_jsonl(path)
    if not path.exists():
        return {}
    rows = records.read_jsonl(path, records.Completion)
    return {row.extra["key"]: row for row in rows if "key" in row.extra}


def _key(task: Candidates, runner: ProgramRunner) -> str:
    """Digest of all that a choice depends on."""
    samples = [records.to_line(sample) for sample in task.samples]
    parts = [_VERSION, task.prompt, samples, task.tests, repr(runner)]
    return hashlib.sha256(json.dumps(parts, default=repr).encode()).hexdigest()[:24]


def _collect_all(
    tasks: Sequence[Candidates], runner: ProgramRunner, workers: int
) -> Iterator[tuple[Candidates, list[Evidence]]]:
    """Yields each task with its evidence, in order; each thread has a sandbox of its own."""
    local = threading.local()
    with contextlib.ExitStack() as sessions:
        opened = threading.Lock()

        def serve(task: Candidates) -> list[Evidence]:
            if not hasattr(local, "session"):
                with opened:
                    local.session = sessions.enter_context(runner.open())
            return collect_evidence(task, local.session)

        with concurrent.futures.ThreadPoolExecutor(min(workers, len(tasks) or 1)) as pool:
            try:
                yield from zip(tasks, pool.map(serve, tasks), strict=True)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _row(task: Candidates, rows: Sequence[Evidence], key: str) -> records.Completion:
    number = choose(rows)
    behavior = rows[number].behavior
    extra: dict[str, Any] = {
        "key": key,
        "votes": sum(row.behavior == behavior for row in rows),
        "samples": len(rows),
        "behaviors": len({row.behavior for row in rows}),
        "examples": len(task.prompt.examples()),
        "tests": len(task.tests),
        "score": score_samples(rows)[number].to_json(),
        "evidence": [row.to_json() for row in rows],
    }
    sample = task.samples[number]
    return records.Completion(**vars(sample) | {"extra": {**sample.extra, **extra}})
