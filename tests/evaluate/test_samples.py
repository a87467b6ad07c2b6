"""Completions of a problem file: distinct indices, and messages for lines that don't fit."""

import json

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax import InputError, records
from codex_jax.evaluate.problems import samples

TASKS = {name: records.Problem(task_id=name, prompt="") for name in "ab"}


def write(path, lines: list[dict]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_indices_stay_where_they_are_distinct_and_are_renumbered_where_not(tmp_path):
    lines = [{"task_id": "a", "completion": text, "sample_index": i} for text, i in ("x7", "y3")]
    lines += [{"task_id": "b", "completion": text, "mean_logprob": -1.0} for text in "zw"]
    rows = samples.load_completions(write(tmp_path / "c.jsonl", lines), TASKS)
    assert [(row.completion, int(row.sample_index)) for row in rows] == [
        *(("x", 7), ("y", 3)),
        *(("z", 0), ("w", 1)),
    ]
    assert rows[3].mean_logprob == -1.0  # numbering loses nothing else


@hypothesis.given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), min_size=1))
def test_task_and_index_name_a_sample(tmp_path_factory, pairs):
    lines = [
        {"task_id": t, "completion": str(n), "sample_index": i} for n, (t, i) in enumerate(pairs)
    ]
    path = write(tmp_path_factory.getbasetemp() / "pairs.jsonl", lines)
    rows = samples.load_completions(path, TASKS)
    assert len({(row.task_id, row.sample_index) for row in rows}) == len(pairs)
    assert {row.completion for row in rows} == {line["completion"] for line in lines}


def test_completions_that_fit_no_problem_are_one_line(tmp_path):
    path = write(tmp_path / "c.jsonl", [{"task_id": "c", "completion": ""}])
    with pytest.raises(
        InputError, match=r"completion for 'c'; expected a task_id .*; set problems"
    ):
        samples.load_completions(path, TASKS)
    with pytest.raises(InputError, match="no completions; expected JSON Lines"):
        samples.load_completions(write(tmp_path / "empty.jsonl", []), TASKS)
