"""The log of verdicts: what is judged again, what isn't, and rows that a crash left torn."""

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.verdict_log import VerdictLog
from codex_jax.evaluate.verdicts import Cause, Outcome

TASKS = {
    name: records.Problem(task_id=name, prompt="def f():\n", entry_point="f", test=f"# {name}")
    for name in "ab"
}
CONDITIONS = ["bubblewrap", "/usr/bin/python3", "limits"]


class FakePool:
    """Judges a program by its text; remembers the programs."""

    def __init__(self):
        self.sources = []

    def judge(self, jobs):
        for job in jobs:
            self.sources.append(job.source)
            infra = "unlucky" in job.source
            cause = (
                Cause.INFRA_ERROR
                if infra
                else Cause.PASSED
                if "1" in job.source
                else Cause.EXCEPTION
            )
            yield job, Outcome(cause, "detail", 0.5)


def sample(task_id: str, text: str, index: int = 0) -> records.Completion:
    return records.Completion(task_id=task_id, completion=text, sample_index=index)


def judge(path, samples, conditions=CONDITIONS, tasks=TASKS) -> tuple[list[str], list[str]]:
    """The programs that were judged, and the causes of all samples."""
    log, pool = VerdictLog(path, tasks, conditions), FakePool()
    log.judge(samples, pool)
    return pool.sources, [row.cause for row in log.verdicts(samples)]


def test_equal_programs_of_a_problem_are_judged_once(tmp_path):
    samples = [sample("a", "return 1"), sample("a", "return 1", 1), sample("b", "return 1")]
    sources, causes = judge(tmp_path / "out" / "v.jsonl", samples)
    assert len(sources) == 2
    assert causes == ["passed"] * 3
    rows = list(records.read_jsonl(tmp_path / "out" / "v.jsonl", records.Verdict))
    assert [(row.task_id, row.sample_index) for row in rows] == [("a", 0), ("a", 1), ("b", 0)]
    assert {(row.verdict, row.isolation, row.seconds) for row in rows} == {
        ("passed", "bubblewrap", 0.5)
    }


def test_a_row_is_valid_until_something_changes_that_bears_on_it(tmp_path):
    path, samples = tmp_path / "v.jsonl", [sample("a", "return 1")]
    assert len(judge(path, samples)[0]) == 1
    assert judge(path, samples)[0] == []
    assert len(judge(path, samples, [*CONDITIONS[:2], "other limits"])[0]) == 1
    other = {"a": records.Problem(task_id="a", prompt="def f():\n", entry_point="f", test="other")}
    assert len(judge(path, samples, tasks=other)[0]) == 1
    assert judge(path, [sample("a", "return 2")])[1] == ["exception"]
    renamed = {"z": records.Problem(**{**vars(TASKS["a"]), "task_id": "z"})}
    assert judge(path, [sample("z", "return 1")], tasks=renamed)[0] == []


def test_a_torn_line_is_judged_again(tmp_path):
    path, samples = tmp_path / "v.jsonl", [sample("a", "return 1"), sample("b", "return 2")]
    judge(path, samples)
    path.write_bytes(path.read_bytes()[:-9])
    sources, causes = judge(path, samples)
    assert (len(sources), causes) == (1, ["passed", "exception"])
    assert len(path.read_text().splitlines()) == 2


def test_infrastructure_errors_are_no_verdicts(tmp_path):
    path, samples = tmp_path / "v.jsonl", [sample("a", "unlucky"), sample("b", "return 1")]
    with pytest.raises(InputError, match=r"1 programs have no verdict \(detail\).*; run again"):
        judge(path, samples)
    assert [row.task_id for row in records.read_jsonl(path, records.Verdict)] == ["b"]


def test_nothing_is_written_or_started_before_there_is_something_to_judge(tmp_path):
    VerdictLog(tmp_path / "out" / "v.jsonl", TASKS, CONDITIONS)
    assert not (tmp_path / "out").exists()
