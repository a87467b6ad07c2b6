"""The `evaluate` command: problems and completions in, verdicts and pass@k out."""

import contextlib
import gc
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codex_jax import InputError, files, progress, ranges, records
from codex_jax.evaluate.judging.pool import Pool
from codex_jax.evaluate.languages import registry
from codex_jax.evaluate.metrics.mbr_exec import probe_problems, vote_counts
from codex_jax.evaluate.metrics.pass_at_k import check_ks
from codex_jax.evaluate.metrics.selection import paired_bootstrap, selection
from codex_jax.evaluate.metrics.summary import count_passes, markdown, summary, table
from codex_jax.evaluate.problems import formats
from codex_jax.evaluate.problems.samples import load_completions
from codex_jax.evaluate.references import check_references
from codex_jax.evaluate.sandbox.packages import describe
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.evaluate.sandbox.sandbox import Limits, check_limits
from codex_jax.evaluate.select.curve import selection_curves
from codex_jax.evaluate.select.prompts import read_prompts
from codex_jax.evaluate.select.select import IS_SELECTION, select_programs
from codex_jax.evaluate.verdict_log import VerdictLog

_VERDICTS = files.has_json_keys("task_id", "verdict", lines=True)
_OWN_FILES = {
    "verdicts.jsonl": _VERDICTS,
    "references.jsonl": _VERDICTS,
    "mbr_exec.jsonl": _VERDICTS,
    "selection.jsonl": IS_SELECTION,
    "report.json": files.has_json_keys("samples", "problems", "causes"),
    "report.md": files.has_text("| cause | samples |"),
}


def evaluate(
    *,
    problems: str,
    completions: str,
    output: str,
    sandbox: str = "auto",
    ks: Sequence[int] = (1, 10, 100),
    timeout_s: float = 3.0,
    memory_mb: int = 1024,
    workers: int = 0,
    packages: Sequence[str] = (),
    mbr_exec: bool = False,
    select: bool = False,
    model_tests: str = "",
    baseline: str = "",
) -> dict[str, Any]:
    """Judges every completion in a sandbox, estimates pass@k and returns the report.

    Writes verdicts.jsonl as it goes, where an interrupted run, or a finished one, continues.

    Args:
      problems: JSON Lines of a benchmark's problems (HumanEval, MBPP, MBXP, ...), or humaneval.
      completions: JSON Lines of completions; several of one task_id are its samples.
      output: folder for verdicts.jsonl, report.json and report.md.
      sandbox: gvisor, bubblewrap, or auto: the first of them that passes its self-test.
      ks: the k of pass@k.
      timeout_s: CPU seconds that a program may use in all.
      memory_mb: MiB of memory that a program may use.
      workers: number of sandboxes in parallel; 0 means one a core.
      packages: Python packages, installed here, that programs may import, such as numpy.
      mbr_exec: also select the sample whose outputs on generated inputs most others share.
      select: also choose a sample of each problem by its prompt, as `evaluate select` does.
      model_tests: for `select`: completions of the prompts of `evaluate tests`; empty for none.
      baseline: verdicts.jsonl of another run of these problems, for a paired comparison.

    Raises:
      InputError: unusable input, a missing tool or library, no sandbox works, or all are left out.
    """
    _check_settings(timeout_s, memory_mb, workers, ks, "" if select else model_tests)
    files.claim_folder(output, _OWN_FILES, "output")
    tasks = formats.load_problems(problems)
    samples = load_completions(completions, tasks)
    registry.require({sample.task_id: tasks[sample.task_id] for sample in samples}.values())
    limits = Limits(cpu_s=timeout_s, memory_mb=memory_mb, packages=describe(packages))
    workers = workers or len(os.sched_getaffinity(0))
    settings = {"sandbox": sandbox, "limits": limits, "workers": workers}
    folder = pathlib.Path(output)
    runner = ProgramRunner(sandbox=sandbox, memory_mb=memory_mb, packages=packages)
    own = {"model_tests": model_tests, "workers": workers}
    chosen = _select(folder, tasks, samples, runner, **own) if select else []
    log, info = _judge(folder / "verdicts.jsonl", tasks, samples, settings, references=True)
    votes = _mbr_exec_votes(folder, tasks, samples, settings) if mbr_exec else None
    verdicts = log.verdicts(samples)
    report = summary(tasks, verdicts, ks, samples)
    report |= {"selection": selection(samples, verdicts, votes)} | info
    if chosen:
        report["selection_curves"] = selection_curves(chosen, verdicts)
    if baseline and report["problems"]:
        report["paired"] = {"baseline": baseline, **_difference(baseline, verdicts)}
    return _write(folder, report)


def _write(folder: pathlib.Path, report: dict[str, Any]) -> dict[str, Any]:
    """Writes and returns the report.

    Raises:
      InputError: there is no verdict in what was written, as all problems are left out.
    """
    files.atomic_write(folder / "report.json", json.dumps(report, indent=1) + "\n")
    files.atomic_write(folder / "report.md", markdown(report))
    print(progress.printable(table(report)))
    if not report["problems"]:
        name, reason = next(iter(report["references"]["left_out"].items()))
        raise InputError(
            f"no program was judged, since all problems are left out: {name}, say ({reason}); "
            "expected a test that can be run; set problems to such, or install what they lack"
        )
    return report


def _check_settings(
    timeout_s: float, memory_mb: int, workers: int, ks: Sequence[int], unused_tests: str
) -> None:
    if unused_tests:
        raise InputError("model_tests is for select; set select to True, or leave model_tests out")
    check_limits(timeout_s, memory_mb)
    ranges.check("evaluate", {"workers": workers}, {"workers": ranges.workers()})
    check_ks(ks)


def _select(
    folder: pathlib.Path,
    tasks: Mapping[str, records.Problem],
    samples: Sequence[records.Completion],
    runner: ProgramRunner,
    **settings: Any,
) -> list[records.Completion]:
    """Chooses a sample of each problem; only prompts and samples are handed over."""
    prompts = read_prompts(tasks.values())
    return select_programs(prompts, samples, folder / "selection.jsonl", runner, **settings)


def _judge(
    path: pathlib.Path,
    tasks: Mapping[str, records.Problem],
    samples: Sequence[records.Completion],
    settings: Mapping[str, Any],
    references: bool = False,
) -> tuple[VerdictLog, dict[str, str]]:
    """Judges the samples, after their problems' references if `references`.

    Returns:
      The samples' log, and the names of the sandbox and its Python.
    """
    with _frozen_heap(), Pool(tasks, **settings) as pool:
        backend, python = pool.sandbox_info()
        conditions = [backend, python, str(settings["limits"])]
        by_key: dict[str, records.Verdict] = {}
        if references:
            log_path = path.with_name("references.jsonl")
            judged = {sample.task_id: tasks[sample.task_id] for sample in samples}
            tasks, by_key = check_references(judged, log_path, conditions, pool)
        log = VerdictLog(path, tasks, conditions)
        log.by_key |= by_key
        log.judge(samples, pool)
    return log, {"isolation": backend, "python": python}


@contextlib.contextmanager
def _frozen_heap() -> Iterator[None]:
    """Spares garbage collections the objects that are there already, until it ends."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _difference(baseline: str, verdicts: Sequence[records.Verdict]) -> dict[str, Any]:
    """Compares verdicts with those of another run, problem by problem."""
    counts = count_passes(records.read_input(baseline, records.Verdict))
    return paired_bootstrap(counts, count_passes(verdicts))


def _mbr_exec_votes(
    folder: pathlib.Path,
    tasks: Mapping[str, records.Problem],
    samples: Sequence[records.Completion],
    settings: Mapping[str, Any],
) -> dict[tuple[str, int], float]:
    """Counts the samples that share each sample's outputs, which mbr_exec.jsonl records."""
    probes = probe_problems(tasks)
    probed = [sample for sample in samples if sample.task_id in probes]
    if not probed:
        return {}
    log, _ = _judge(folder / "mbr_exec.jsonl", probes, probed, settings)
    return vote_counts(samples, log.rows)
