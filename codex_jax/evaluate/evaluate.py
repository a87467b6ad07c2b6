"""The verb: problems and completions in, verdicts and pass@k out."""

import collections
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from codex_jax import InputError, progress, records
from codex_jax.evaluate import formats, languages
from codex_jax.evaluate.judge import VERDICT_OF, Outcome
from codex_jax.evaluate.pass_at_k import Estimate, estimate
from codex_jax.evaluate.pool import Job, Pool
from codex_jax.evaluate.ranking import selection
from codex_jax.evaluate.sandbox import Limits

GROUPS = ("blocks", "language")  # fields of problems by which the report breaks pass@k down


def evaluate(
    *,
    problems: str,
    completions: str,
    output: str,
    isolation: str = "auto",
    ks: Sequence[int] = (1, 10, 100),
    timeout_s: float = 3.0,
    memory_mb: int = 1024,
    workers: int = 0,
) -> dict[str, Any]:
    """Runs every completion in a sandbox and estimates pass@k; returns what report.json holds.

    Writes verdicts.jsonl as it goes; killed, it continues there, and a finished run costs nothing.

    Args:
      problems: JSON Lines of problems (HumanEval, HumanEval+, MBPP, MBPP+, infilling, MultiPL-E,
        HumanEval-X, MBXP), or humaneval by name.
      completions: JSON Lines of completions; several of one task_id are its samples.
      output: folder for verdicts.jsonl and report.json.
      isolation: gvisor, bubblewrap, or auto: the first of them that passes its self-test.
      ks: the k of pass@k.
      timeout_s: CPU seconds that a program may use in all.
      memory_mb: MiB of memory that a program may use.
      workers: sandboxes side by side; 0 means one a core.

    Raises:
      InputError: unusable input, or no sandbox works here.
    """
    if timeout_s <= 0 or memory_mb < 64 or workers < 0 or not ks or min(ks) < 1:
        raise InputError(
            f"timeout_s={timeout_s}, memory_mb={memory_mb}, workers={workers}, ks={tuple(ks)}; "
            "expected positive numbers and at least 64 MiB"
        )
    tasks = formats.load_problems(problems)
    samples = load_samples(completions, tasks)
    for name in {tasks[sample.task_id].extra.get("language", "") for sample in samples} - {""}:
        languages.named(name).require()
    limits = Limits(cpu_s=timeout_s, memory_mb=memory_mb)
    cores = workers or len(os.sched_getaffinity(0))
    with Pool(tasks, isolation=isolation, limits=limits, workers=cores) as pool:
        book = Book(pathlib.Path(output) / "verdicts.jsonl", tasks, pool)
        book.judge(samples)
        backend, python = pool.kind()
    verdicts = book.verdicts(samples)
    report = summary(tasks, verdicts, ks) | {"selection": selection(samples, verdicts)}
    report |= {"isolation": backend, "python": python}
    path = pathlib.Path(output) / "report.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report))
    return report


def load_samples(path: str, tasks: Mapping[str, records.Problem]) -> list[records.Completion]:
    """The completions, numbered anew within a task where their own numbers aren't distinct."""
    by_task: dict[str, list[records.Completion]] = collections.defaultdict(list)
    for completion in records.read_jsonl(path, records.Completion):
        if completion.task_id not in tasks:
            raise InputError(
                f"{path}: completion for {completion.task_id!r}; expected a task_id of the "
                "problems file; turn problems"
            )
        by_task[completion.task_id].append(completion)
    if not by_task:
        raise InputError(f"{path}: no completions; expected JSON Lines of completions")
    return [sample for group in by_task.values() for sample in _numbered(group)]


def _numbered(group: list[records.Completion]) -> Iterable[records.Completion]:
    if len({sample.sample_index for sample in group}) == len(group):
        return group
    return [
        records.Completion(task_id=sample.task_id, completion=sample.completion, sample_index=i)
        for i, sample in enumerate(group)
    ]


class Book:
    """verdicts.jsonl: each row names its program and circumstances by content, so that a row
    is good for exactly as long as nothing that bears on it has changed."""

    def __init__(self, path: pathlib.Path, tasks: Mapping[str, records.Problem], pool: Pool):
        self.path, self.tasks, self.pool = path, tasks, pool
        self.circumstances = {task_id: self._circumstances(tasks[task_id]) for task_id in tasks}
        self.rows: dict[tuple[str, int], records.Verdict] = {}
        self.known: dict[str, records.Verdict] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            _drop_torn_line(path)
            for row in records.read_jsonl(path, records.Verdict):
                self._enter(row)

    def _circumstances(self, problem: records.Problem) -> str:
        judged = dataclasses.asdict(dataclasses.replace(problem, task_id=""))
        version = languages.runtime(problem.extra["language"]) if formats.apart(problem) else ""
        return _sha(
            [judged, *self.pool.kind(), str(self.pool.limits), *([version] * bool(version))]
        )

    def key(self, sample: records.Completion) -> str:
        return _sha([self.circumstances[sample.task_id], self.source(sample)])

    def source(self, sample: records.Completion) -> str:
        return formats.program(self.tasks[sample.task_id], sample.completion)

    def _enter(self, row: records.Verdict) -> None:
        self.rows[row.task_id, row.sample_index] = row
        self.known[row.extra.get("key", "")] = row

    def judge(self, samples: Sequence[records.Completion]) -> None:
        """Judges what isn't in the book yet; equal programs once."""
        pending: dict[str, list[records.Completion]] = collections.defaultdict(list)
        for sample in samples:
            key = self.key(sample)
            row = self.rows.get((sample.task_id, sample.sample_index))
            if row is None or row.extra.get("key") != key:
                pending[key].append(sample)
        total = sum(map(len, pending.values()))
        done = len(samples) - total
        with (
            progress.bar(what="judging", total=len(samples), done=done, unit="program") as bar,
            records.open_text(self.path, "a") as out,
        ):
            for key in [key for key in pending if key in self.known]:
                bar.update(self._write(out, pending.pop(key), self.known[key]))
            jobs = {Job(group[0].task_id, self.source(group[0])): k for k, group in pending.items()}
            for job, outcome in self.pool.judge(list(jobs)):
                key = jobs[job]
                row = self._row(self.tasks[job.problem], key, outcome)
                bar.update(self._write(out, pending[key], row))
            out.flush()
            os.fsync(out.fileno())

    def _row(self, problem: records.Problem, key: str, outcome: Outcome) -> records.Verdict:
        extra = {"key": key, "mode": "outside"}
        if formats.apart(problem):
            language = problem.extra["language"]
            extra |= {"mode": "in-process", "language": language}
            extra["runtime"] = languages.runtime(language)
        return records.Verdict(
            task_id="",
            verdict=VERDICT_OF[outcome.cause],
            cause=outcome.cause,
            detail=outcome.detail,
            isolation=self.pool.kind()[0],
            seconds=outcome.cpu_s,
            extra=extra,
        )

    def _write(
        self, out: Any, samples: Iterable[records.Completion], found: records.Verdict
    ) -> int:
        samples = list(samples)
        for sample in samples:
            row = records.Verdict(
                **{
                    **vars(found),
                    "task_id": sample.task_id,
                    "sample_index": sample.sample_index,
                }
            )
            self._enter(row)
            out.write(records.to_line(row) + "\n")
        out.flush()
        return len(samples)

    def verdicts(self, samples: Iterable[records.Completion]) -> list[records.Verdict]:
        return [self.rows[sample.task_id, sample.sample_index] for sample in samples]


def _sha(parts: Iterable[Any]) -> str:
    whole = json.dumps(list(parts)).encode()
    return hashlib.sha256(whole).hexdigest()[:24]


def _drop_torn_line(path: pathlib.Path) -> None:
    """A killed run may have left half a line at the end: its program is judged again."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        with path.open("rb+") as file:
            file.truncate(whole)


def summary(
    tasks: Mapping[str, records.Problem], verdicts: Sequence[records.Verdict], ks: Sequence[int]
) -> dict[str, Any]:
    """pass@k over all problems and by group, and how often each cause occurred."""
    counts: dict[str, tuple[int, int]] = {}
    for row in verdicts:
        n, c = counts.get(row.task_id, (0, 0))
        counts[row.task_id] = (n + 1, c + row.passed)
    groups: dict[str, dict[str, dict[str, tuple[int, int]]]] = {}
    for field in GROUPS:
        for task_id, count in counts.items():
            if field in tasks[task_id].extra:
                value = str(tasks[task_id].extra[field])
                groups.setdefault(field, {}).setdefault(value, {})[task_id] = count
    return {
        "problems": len(counts),
        "samples": len(verdicts),
        "pass_at_k": _as_json(estimate(counts, ks)),
        "groups": {
            field: {v: _as_json(estimate(members, ks)) for v, members in sorted(values.items())}
            for field, values in groups.items()
        },
        "causes": dict(collections.Counter(row.cause for row in verdicts).most_common()),
    }


def _as_json(estimates: Mapping[int, Estimate | None]) -> dict[str, dict[str, Any]]:
    return {str(k): vars(found) for k, found in estimates.items() if found is not None}


def table(report: Mapping[str, Any]) -> str:
    """The report's pass@k as lines for a terminal, in percent, with 95 % intervals."""
    rows = {"all": report["pass_at_k"]}
    for field, values in report["groups"].items():
        rows |= {f"{field} {value}": found for value, found in values.items()}
    ks = sorted({k for row in rows.values() for k in row}, key=int)
    lines = [f"{'':12}" + "".join(f"{'pass@' + k:>24}" for k in ks)]
    for name, row in rows.items():
        cells = (_cell(row[k]) if k in row else "-" for k in ks)
        lines.append(f"{name:12}" + "".join(f"{cell:>24}" for cell in cells))
    causes = ", ".join(f"{cause} {count}" for cause, count in report["causes"].items())
    lines.append(f"{report['samples']} samples of {report['problems']} problems: {causes}")
    return "\n".join(lines)


def _cell(found: Mapping[str, Any]) -> str:
    return f"{found['mean']:.1%} ({found['low']:.1%}-{found['high']:.1%})"
