"""Log of verdicts: each row is keyed by its program and by all that its verdict depends on."""

import collections
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from codex_jax import InputError, files, progress, records
from codex_jax.evaluate.judging.pool import Job, Pool
from codex_jax.evaluate.languages import registry
from codex_jax.evaluate.problems import formats
from codex_jax.evaluate.problems.samples import is_whole_program
from codex_jax.evaluate.verdicts import VERDICT_OF, Cause, Outcome


class VerdictLog:
    """Verdicts in a JSON Lines file, which is appended to and repaired after a crash.

    A row is valid for exactly as long as nothing that bears on its verdict changes: the program,
    its problem, `conditions` (sandbox, Python, limits), and the tools and libraries of its
    language.
    """

    def __init__(
        self, path: pathlib.Path, tasks: Mapping[str, records.Problem], conditions: Sequence[str]
    ):
        self.path, self.tasks = path, tasks
        self.conditions = conditions
        self.rows: dict[tuple[str, int], records.Verdict] = {}
        self.by_key: dict[str, records.Verdict] = {}
        self._problem_digests: dict[str, str] = {}
        files.repair_jsonl(path)
        if path.exists():
            for row in records.read_jsonl(path, records.Verdict):
                self._add(row)

    def key(self, sample: records.Completion) -> str:
        """Digest of all that the sample's verdict depends on."""
        task_id = sample.task_id
        if task_id not in self._problem_digests:
            self._problem_digests[task_id] = self._digest_problem(self.tasks[task_id])
        return _digest([self._problem_digests[task_id], self.source(sample)])

    def source(self, sample: records.Completion) -> str:
        """Text of the sample's program."""
        is_program = is_whole_program(sample)
        return formats.program(self.tasks[sample.task_id], sample.completion, is_program=is_program)

    def _digest_problem(self, problem: records.Problem) -> str:
        language = problem.extra.get("language", "") if problem.extra.get("mode") else ""
        tools = [registry.fingerprint(language, problem)] if language else []
        return _digest([{**vars(problem), "task_id": ""}, *self.conditions, *tools])

    def _add(self, row: records.Verdict) -> None:
        self.rows[row.task_id, row.sample_index] = row
        self.by_key[row.extra.get("key", "")] = row

    def judge(
        self, samples: Sequence[records.Completion], pool: Pool, name: str = "judging"
    ) -> None:
        """Judges the samples that have no valid verdict; equal programs once.

        Raises:
          InputError: the infrastructure failed for some programs; the next run judges them.
        """
        if not samples:
            return
        pending: dict[str, list[records.Completion]] = collections.defaultdict(list)
        for sample in samples:
            key = self.key(sample)
            row = self.rows.get((sample.task_id, sample.sample_index))
            if row is None or row.extra.get("key") != key:
                pending[key].append(sample)
        done = len(samples) - sum(map(len, pending.values()))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (
            progress.bar(desc=name, total=len(samples), done=done, unit="program") as bar,
            records.open_text(self.path, "a") as out,
        ):
            for key, row in [
                (k, row) for k in pending if (row := self._row_without_a_run(k, pending[k]))
            ]:
                bar.update(self._write(out, pending.pop(key), row))
            errors = self._judge_pending(pending, pool, out, bar)
            out.flush()
            os.fsync(out.fileno())
        if errors:
            raise InputError(
                f"{len(errors)} programs have no verdict ({errors[0]}); expected a sandbox for "
                "each; run again: the verdicts so far are saved"
            )

    def _row_without_a_run(
        self, key: str, samples: Sequence[records.Completion]
    ) -> records.Verdict | None:
        """Returns the verdict on an equal program, or that the problem is left out, or None."""
        problem = self.tasks[samples[0].task_id]
        if reason := problem.extra.get(Cause.LEFT_OUT):
            return self._row(problem, key, Outcome(Cause.LEFT_OUT, reason))
        return self.by_key.get(key)

    def _judge_pending(
        self, pending: Mapping[str, list[records.Completion]], pool: Pool, out: IO[str], bar: Any
    ) -> list[str]:
        """Judges the samples of each key, writes their rows, and returns infrastructure errors."""
        errors = []
        keys = {Job(group[0].task_id, self.source(group[0])): k for k, group in pending.items()}
        for job, outcome in pool.judge(list(keys)):
            if outcome.cause == Cause.INFRA_ERROR:
                errors.append(outcome.detail)
                continue
            row = self._row(self.tasks[job.problem], keys[job], outcome)
            bar.update(self._write(out, pending[keys[job]], row))
        return errors

    def _row(self, problem: records.Problem, key: str, outcome: Outcome) -> records.Verdict:
        extra = {"key": key, "mode": "outside"}
        if mode := problem.extra.get("mode"):
            language = problem.extra["language"]
            extra |= {"mode": mode, "language": language}
            extra["runtime"] = registry.tool_version(language)
        return records.Verdict(
            task_id="",
            verdict=VERDICT_OF[outcome.cause],
            cause=outcome.cause,
            detail=outcome.detail,
            isolation=self.conditions[0],
            seconds=outcome.cpu_s,
            extra=extra,
        )

    def _write(
        self, out: IO[str], samples: Sequence[records.Completion], verdict: records.Verdict
    ) -> int:
        """Appends the verdict for each of the samples; returns their number."""
        for sample in samples:
            index = {"task_id": sample.task_id, "sample_index": sample.sample_index}
            row = records.Verdict(**{**vars(verdict), **index})
            self._add(row)
            out.write(records.to_line(row) + "\n")
        out.flush()
        return len(samples)

    def verdicts(self, samples: Iterable[records.Completion]) -> list[records.Verdict]:
        """Verdicts of the samples, in their order."""
        return [self.rows[sample.task_id, sample.sample_index] for sample in samples]


def _digest(parts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
