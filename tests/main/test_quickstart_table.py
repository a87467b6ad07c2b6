"""The table of methods: shares by blocks, tokens, and a problem that a method lacks."""

import json

import pytest

from codex_jax import InputError, records
from codex_jax.main.quickstart_table import compare_methods, format_methods


def write(folder, name, rows):
    """Writes (task_id, passed, mean log-probability) as completions and verdicts."""
    samples, verdicts, counts = [], [], {}
    for task, passed, logprob in rows:
        index = counts[task] = counts.get(task, -1) + 1
        samples.append(
            records.Completion(
                task_id=task, completion="", sample_index=index, mean_logprob=logprob, tokens=10
            )
        )
        verdict = "passed" if passed else "failed"
        verdicts.append(
            records.Verdict(task_id=task, sample_index=index, verdict=verdict, cause=verdict)
        )
    records.write_jsonl(folder / f"{name}.jsonl", samples)
    records.write_jsonl(folder / f"{name}-verdicts" / "verdicts.jsonl", verdicts)


@pytest.fixture
def run(tmp_path):
    problems = [
        records.Problem(task_id=name, prompt="", extra={"blocks": blocks})
        for name, blocks in {"a": 2, "b": 2, "c": 10}.items()
    ]
    for folder in ("chains", "solved", "evaluation-verdicts", "x-verdicts"):
        (tmp_path / folder).mkdir()
    records.write_jsonl(tmp_path / "chains" / "chains-test.jsonl", problems)
    rows = [("a", True, -2.0), ("a", False, -1.0), ("b", True, -1.0), ("b", False, -2.0)]
    write(tmp_path, "evaluation", [*rows, ("c", False, -1.0), ("c", False, -1.0)])
    write(tmp_path, "x", [("a", True, None), ("c", True, None), ("c", False, None)])
    (tmp_path / "evaluation.jsonl").rename(tmp_path / "completions.jsonl")
    (tmp_path / "evaluation-verdicts").rename(tmp_path / "evaluation")
    (tmp_path / "x.jsonl").rename(tmp_path / "solved" / "completions.jsonl")
    (tmp_path / "x-verdicts").rename(tmp_path / "solved-evaluation")
    lines = [json.dumps({"task_id": name, "tokens": 30}) for name in "abc"]
    (tmp_path / "solved" / "search.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_methods_are_side_by_side(run):
    head, all_blocks, two, ten, tokens = map(str.split, compare_methods(run).splitlines())
    assert head == ["solved", "one", "sample", "likeliest", "of", "2", "solve"]
    assert [all_blocks[0], *all_blocks[1::2]] == ["all", "33.3%", "33.3%", "50.0%"]
    assert two[2::2] == ["50.0%", "50.0%", "50.0%"]  # b has no answer
    assert ten[1:] == ["10", "0.0%", "(0.0%-0.0%)", "0.0%", "(0.0%-0.0%)", "50.0%", "(50.0%-50.0%)"]
    assert tokens == ["tokens", "10", "20", "30"]


def test_intervals_hold_the_share():
    text = format_methods({"m": dict.fromkeys("ab", 1.0)}, dict.fromkeys("abcd", 1), [1.0])
    assert "50.0% (0.0%-100.0%)" in text.splitlines()[1]


def test_a_sample_without_a_verdict_is_refused(run):
    records.write_jsonl(run / "evaluation" / "verdicts.jsonl", [])
    with pytest.raises(InputError, match="no verdict for a, sample 0; set run_dir to"):
        compare_methods(run)
