"""Problem files of `sample`: names of problems, and what is refused."""

import json

import pytest

from codex_jax import InputError
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.inputs import read_inputs

DEFAULT = Request("", [])


def read(folder, *rows) -> list[str]:
    path = folder / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [line.problem.task_id for line in read_inputs(path, DEFAULT)]


def test_a_problem_without_a_name_has_its_line_s_number(tmp_path):
    assert read(tmp_path, {"prompt": "a"}, {"prompt": "b", "task_id": "x"}) == ["1", "x"]


def test_numbers_are_names_as_evaluate_reads_them(tmp_path):
    assert read(tmp_path, {"prompt": "a", "task_id": 11}, {"prompt": "b", "task_id": "12"}) == [
        "11",
        "12",
    ]
    with pytest.raises(InputError, match="task_id 7 occurs twice"):
        read(tmp_path, {"prompt": "a", "task_id": 7}, {"prompt": "b", "task_id": "7"})


@pytest.mark.parametrize("task_id", [None, 1.5, True, []])
def test_other_values_are_no_names(tmp_path, task_id):
    with pytest.raises(InputError, match=r"p\.jsonl:1: task_id must be a string"):
        read(tmp_path, {"prompt": "a", "task_id": task_id})
