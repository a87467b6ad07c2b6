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


def test_samples_without_an_index_get_the_next_one_of_their_task(tmp_path):
    lines = [
        {"task_id": "a", "completion": text, "sample_index": i} for text, i in (("x", 7), ("y", 1))
    ]
    lines += [{"task_id": "a", "completion": text} for text in "pqq"]
    lines += [{"task_id": "b", "completion": text, "mean_logprob": -1.0} for text in "zw"]
    rows = samples.load_completions(write(tmp_path / "c.jsonl", lines), TASKS)
    assert [(row.completion, int(row.sample_index)) for row in rows] == [
        *(("x", 7), ("y", 1), ("p", 0), ("q", 2), ("q", 3)),
        *(("z", 0), ("w", 1)),
    ]
    assert rows[6].mean_logprob == -1.0  # numbering loses nothing else


@hypothesis.given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.sampled_from("xy")), min_size=1)
)
def test_a_repeated_index_is_one_sample_or_refused(tmp_path_factory, triples):
    lines = [{"task_id": t, "completion": c, "sample_index": i} for t, i, c in triples]
    path = write(tmp_path_factory.getbasetemp() / "triples.jsonl", lines)
    if len({(t, i) for t, i, _ in triples}) < len(set(triples)):
        with pytest.raises(
            InputError, match=r"two different completions of [ab] with sample_index"
        ):
            samples.load_completions(path, TASKS)
    else:
        rows = samples.load_completions(path, TASKS)
        assert {(r.task_id, r.sample_index, r.completion) for r in rows} == set(triples)
        assert len(rows) == len(set(triples))


def test_equal_ones_are_counted_once_with_a_note(tmp_path, capsys):
    line = {"task_id": "a", "completion": "x", "sample_index": 0}
    path = write(tmp_path / "c.jsonl", [line, line, line, line | {"sample_index": 2}])
    assert [int(row.sample_index) for row in samples.load_completions(path, TASKS)] == [0, 2]
    assert capsys.readouterr().err.endswith(
        "c.jsonl: 2 completions repeat a task_id, an index and a text, and are counted once\n"
    )


def test_the_first_that_differs_is_named_in_one_line(tmp_path):
    rows = (("a", "x", 0), ("b", "x", 5), ("b", "y", 5), ("a", "x", 0))
    lines = [{"task_id": t, "completion": c, "sample_index": i} for t, c, i in rows]
    with pytest.raises(InputError, match=r"of b with sample_index 5; expected one; set") as caught:
        samples.load_completions(write(tmp_path / "c.jsonl", lines), TASKS)
    assert "\n" not in str(caught.value)


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
