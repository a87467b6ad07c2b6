"""Tests that a model writes: their prompts, and the assertions that are read."""

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.select.examples import Example
from codex_jax.evaluate.select.model_tests import (
    prompt_for_tests,
    read_assertion,
    read_tests,
    write_test_prompts,
)
from codex_jax.evaluate.select.prompts import Prompt

DOUBLE = Prompt("t", 'def f(x):\n    """Double x."""\n', "f")


@pytest.mark.parametrize(
    ("line", "arguments", "expected"),
    [
        ("assert f(2) == 4", [2], 4),
        ("    assert f([1], 'a') == {'b': 2}  # of two", [[1], "a"], {"b": 2}),
        ("assert f(3) is None", [3], None),
        ("assert f(3)", [3], True),
        ("assert not f('')", [""], False),
    ],
)
def test_assertions(line, arguments, expected):
    assert read_assertion(line, "f") == Example(arguments, expected)


@pytest.mark.parametrize(
    "line",
    [
        "assert f(2) != 4",
        "assert g(2) == 4",
        "assert f(x) == 4",
        "assert f(n=2) == 4",
        "assert f() == 4",
        "assert f(2) == f(3)",
        "assert 2 < f(2) < 5",
        "assert f(2) ==",
        "assert -f(2)",
        "print(f(2))",
        "",
    ],
)
def test_other_lines_are_passed_over(line):
    assert read_assertion(line, "f") is None


def test_a_completion_goes_on_with_the_first_assertion():
    text = prompt_for_tests(DOUBLE)
    assert text.startswith(DOUBLE.text.rstrip())
    compile(text + "2) == 4\n", "tests", "exec")
    completions = [
        records.Completion(task_id="t", completion="2) == 4\nassert f(3) == 6\nassert f("),
        records.Completion(task_id="t", completion="3) == 6\n"),
        records.Completion(task_id="another", completion="3) == 6\n"),
    ]
    assert read_tests({"t": DOUBLE}, completions) == {"t": [Example([2], 4), Example([3], 6)]}


def test_prompts_are_written_for_sample(tmp_path):
    problems = [
        records.Problem(task_id="a", prompt=DOUBLE.text, entry_point="f", test="SECRET"),
        records.Problem(task_id="b", prompt="x", test="t", extra={"language": "bash"}),
    ]
    records.write_jsonl(tmp_path / "problems.jsonl", problems)
    output = tmp_path / "tests.jsonl"
    assert write_test_prompts(problems=str(tmp_path / "problems.jsonl"), output=str(output)) == 1
    (row,) = records.read_jsonl(output, records.Problem)
    assert (row.task_id, row.prompt) == ("a", prompt_for_tests(DOUBLE))
    assert "SECRET" not in output.read_text()


def test_another_file_is_not_replaced(tmp_path):
    records.write_jsonl(tmp_path / "p.jsonl", [records.Problem(task_id="a", prompt="def f(x):")])
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="set output to a new file"):
        write_test_prompts(problems=str(tmp_path / "p.jsonl"), output=str(tmp_path / "notes.txt"))


def test_tests_of_other_problems_alone_are_refused():
    other = records.Completion(task_id="another", completion="3) == 6\n")
    with pytest.raises(InputError, match=r"'another', say.*set model_tests to"):
        read_tests({"t": DOUBLE}, [other])


def test_problems_are_not_replaced_by_prompts_for_tests(tmp_path):
    path = tmp_path / "p.jsonl"
    records.write_jsonl(path, [records.Problem(task_id="a", prompt=DOUBLE.text, entry_point="f")])
    (tmp_path / "copy.jsonl").write_bytes(content := path.read_bytes())
    for output, message in (("p.jsonl", "is an input"), ("copy.jsonl", "didn't write it")):
        with pytest.raises(InputError, match=message):
            write_test_prompts(problems=str(path), output=str(tmp_path / output))
        assert (tmp_path / output).read_bytes() == content
    output = str(tmp_path / "tests.jsonl")
    assert [write_test_prompts(problems=str(path), output=output) for _ in range(2)] == [1, 1]
