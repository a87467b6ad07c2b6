"""Completions of a problem file: distinct indices, and messages for lines that don't fit."""

import json

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax import InputError, records
from codex_jax.evaluate.problems import formats, samples

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


def test_samples_of_other_harnesses_are_read(tmp_path):
    """EvalPlus writes whole programs, HumanEval-X generations."""
    lines = [{"task_id": "a", "solution": "def f(): 1"}, {"task_id": "b", "generation": "    1"}]
    program, body = samples.load_completions(write(tmp_path / "c.jsonl", lines), TASKS)
    assert (program.completion, samples.is_whole_program(program)) == ("def f(): 1", True)
    assert (body.completion, samples.is_whole_program(body)) == ("    1", False)
    problem = records.Problem(task_id="a", prompt="def f():\n", extra={"suffix": "g = f\n"})
    text = formats.program(problem, program.completion, is_program=True)
    assert text == "def f(): 1\ng = f\n"


@pytest.mark.parametrize("name", [11, "11", "mbpp/11", "Mbpp/11"])
def test_mbpp_s_numbers_name_its_problems(name, tmp_path):
    tasks = {task: records.Problem(task_id=task, prompt="") for task in ("MBPP/11", "MBPP/12")}
    path = write(tmp_path / "c.jsonl", [{"task_id": name, "completion": "x"}])
    (sample,) = samples.load_completions(path, tasks)
    assert sample.task_id == "MBPP/11"


def test_a_number_of_two_benchmarks_names_no_problem(tmp_path):
    tasks = {task: records.Problem(task_id=task, prompt="") for task in ("MBPP/11", "X/11")}
    path = write(tmp_path / "c.jsonl", [{"task_id": 11, "completion": "x"}])
    with pytest.raises(InputError, match="completion for '11'; expected a task_id"):
        samples.load_completions(path, tasks)


def test_completions_that_fit_no_problem_are_one_line(tmp_path):
    path = write(tmp_path / "c.jsonl", [{"task_id": "c", "completion": ""}])
    with pytest.raises(
        InputError, match=r"completion for 'c'; expected a task_id .*; set problems"
    ):
        samples.load_completions(path, TASKS)
    with pytest.raises(InputError, match="no completions; expected JSON Lines"):
        samples.load_completions(write(tmp_path / "empty.jsonl", []), TASKS)
