"""The verb: problems and completions in, verdicts and pass@k out."""

import collections
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from codex_jax import InputError, progress, records
from codex_jax.evaluate.judging.pool import Job, Pool
from codex_jax.evaluate.languages import registry
from codex_jax.evaluate.metrics import mbr_exec
from codex_jax.evaluate.metrics.selection import compare, selection
from codex_jax.evaluate.metrics.summary import counted, markdown, summary, table
from codex_jax.evaluate.problems import formats
from codex_jax.evaluate.sandbox.sandbox import Limits
from codex_jax.evaluate.verdicts import VERDICT_OF, Cause, Outcome


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
    agree: bool = False,
    baseline: str = "",
) -> dict[str, Any]:
    """Runs every completion in a sandbox and estimates pass@k; returns what report.json holds.

    Writes verdicts.jsonl as it goes; killed, it continues there, and a finished run costs nothing.

    Args:
      problems: JSON Lines of problems (HumanEval, HumanEval+, MBPP, MBPP+, infilling, MultiPL-E,
        HumanEval-X, MBXP), or humaneval by name.
      completions: JSON Lines of completions; several of one task_id are its samples.
      output: folder for verdicts.jsonl, report.json and report.md.
      isolation: gvisor, bubblewrap, or auto: the first of them that passes its self-test.
      ks: the k of pass@k.
      timeout_s: CPU seconds that a program may use in all.
      memory_mb: MiB of memory that a program may use.
      workers: sandboxes side by side; 0 means one a core.
      agree: also choose the sample whose outputs most others share, on inputs made for it.
      baseline: verdicts.jsonl of another run of these problems, to compare with pair by pair.

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
        registry.named(name).require()
    limits = Limits(cpu_s=timeout_s, memory_mb=memory_mb)
    cores = workers or len(os.sched_getaffinity(0))
    with Pool(tasks, isolation=isolation, limits=limits, workers=cores) as pool:
        book = Book(pathlib.Path(output) / "verdicts.jsonl", tasks, pool)
        book.judge(samples)
        told = dict(zip(("isolation", "python"), pool.kind(), strict=True))
    verdicts = book.verdicts(samples)
    votes = _agreement(tasks, samples, output, told["isolation"], limits, cores) if agree else None
    report = summary(tasks, verdicts, ks, samples)
    report |= {"selection": selection(samples, verdicts, votes)} | told
    if baseline:
        other = counted(records.read_jsonl(baseline, records.Verdict))
        report["paired"] = {"baseline": baseline, **compare(other, counted(verdicts))}
    text = json.dumps(report, indent=1) + "\n"
    pathlib.Path(output, "report.json").write_text(text, encoding="utf-8")
    pathlib.Path(output, "report.md").write_text(markdown(report), encoding="utf-8")
    print(table(report))
    return report


def _agreement(
    tasks: Mapping[str, records.Problem],
    samples: Sequence[records.Completion],
    output: str,
    isolation: str,
    limits: Limits,
    workers: int,
) -> dict[tuple[str, int], float]:
    """How many samples each agrees with; what they answered is kept in agreement.jsonl."""
    asked = mbr_exec.asking(tasks)
    chosen = [sample for sample in samples if sample.task_id in asked]
    if not chosen:
        return {}
    with Pool(asked, isolation=isolation, limits=limits, workers=workers) as pool:
        book = Book(pathlib.Path(output) / "agreement.jsonl", asked, pool)
        book.judge(chosen)
    return mbr_exec.scores(samples, book.rows)


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
        judged = {**vars(problem), "task_id": ""}
        name = problem.extra.get("language", "") if problem.extra.get("mode") else ""
        version = registry.runtime(name) if name else ""
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
        """Judges what isn't in the book yet; equal programs once.

        Raises:
          InputError: some have no verdict, through no fault of theirs: the next run judges them.
        """
        troubles: list[str] = []
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
                if outcome.cause == Cause.INFRA_ERROR:
                    troubles.append(outcome.detail)
                    continue
                row = self._row(self.tasks[job.problem], key, outcome)
                bar.update(self._write(out, pending[key], row))
            out.flush()
            os.fsync(out.fileno())
        if troubles:
            raise InputError(
                f"{len(troubles)} programs have no verdict ({troubles[0]}); expected a sandbox for "
                "each; run again: what has been judged is kept"
            )

    def _row(self, problem: records.Problem, key: str, outcome: Outcome) -> records.Verdict:
        extra = {"key": key, "mode": "outside"}
        if mode := problem.extra.get("mode"):
            language = problem.extra["language"]
            extra |= {"mode": mode, "language": language}
            extra["runtime"] = registry.runtime(language)
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
