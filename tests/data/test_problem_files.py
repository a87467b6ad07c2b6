"""Problems are read from every benchmark's files."""

import gzip
import json

import pytest

from codex_jax import InputError
from codex_jax.data.cleaning.problem_files import read_problems


@pytest.mark.parametrize(
    ("fields", "task_id", "solutions"),
    [
        ({"task_id": "T/1", "prompt": "p", "canonical_solution": "s"}, "T/1", ("s",)),
        ({"name": "N_1", "language": "rs", "prompt": "p"}, "N_1", ()),
        ({"task_id": 11, "text": "p", "code": "c", "test_list": ["x"]}, "11", ("c",)),
        ({"id": 0, "question": "p", "solutions": '["a", "b"]'}, "0", ("a", "b")),
        ({"problem_id": 3, "description": "p", "solutions": ["a", 4]}, "3", ("a",)),
        ({"question_id": 3, "prompt": "p", "reference_code": "[broken"}, "3", ("[broken",)),
    ],
)
def test_fields_of_benchmarks(tmp_path, fields, task_id, solutions):
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps(fields) + "\n\n")
    (problem,) = read_problems(path)
    assert (problem.task_id, problem.prompt, problem.solutions) == (task_id, "p", solutions)


def test_an_array_and_a_compressed_file(tmp_path):
    rows = [{"task_id": n, "prompt": "p", "code": "c"} for n in (2, 3)]
    (tmp_path / "sanitized-mbpp.json").write_text(json.dumps(rows, indent=1))
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as out:
        out.write("\n".join(map(json.dumps, rows)))
    for name in ("sanitized-mbpp.json", "a.jsonl.gz"):
        assert [problem.task_id for problem in read_problems(tmp_path / name)] == ["2", "3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"prompt": "x"}', ":1: Problem lacks task_id"),
        ('{"task_id": 1, "prompt": 5}', ":1: Problem lacks prompt"),
        ('{"task_id": 1, "prompt": "p"}\n{', ":2: not JSON"),
        ("[1]", ":1: expected a JSON object, found int"),
        ("3", ":1: expected a JSON object, found int"),
        ('{"task_id": 1, "prompt": ' + "[" * 100_000, ":1: not JSON"),
        ("[{", "expected problems as JSON Lines or an array"),
        ("[]", "problems.jsonl: no problems; expected problems as JSON Lines or an array"),
        ("", "problems.jsonl: no problems; expected problems as JSON Lines or an array"),
        ("\n \n", "problems.jsonl: no problems; expected problems as JSON Lines or an array"),
        (b"\xff", "expected problems as JSON Lines or an array"),
    ],
)
def test_what_is_no_problem_is_refused(tmp_path, content, message):
    path = tmp_path / "problems.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        list(read_problems(path))


def test_solutions_that_are_nested_too_deep_are_a_program(tmp_path):
    path = tmp_path / "apps.jsonl"
    deep = "[" * 100_000
    path.write_text(json.dumps({"task_id": 1, "prompt": "p", "solutions": deep}))
    (problem,) = read_problems(path)
    assert problem.solutions == (deep,)
