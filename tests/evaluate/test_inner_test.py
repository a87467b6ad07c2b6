"""HumanEval+'s inputs as a test in-process: the same verdicts as outside, where both can judge."""

import pytest

from codex_jax import records
from codex_jax.evaluate.judging import inner_test
from codex_jax.evaluate.languages import registry
from tests.evaluate.test_references import run, run_left_out

PATH = "from pathlib import PurePath\n\ndef f(text):\n    return PurePath(text){rest}\n"


def plus_problem(program: str, *inputs: list, **extra) -> records.Problem:
    head, _, body = program.rpartition(":\n")
    extra = {"base_input": list(inputs[:1]), "plus_input": list(inputs[1:])} | extra
    fields = {"task_id": "t", "prompt": f"{head}:\n", "canonical_solution": body}
    return records.Problem(**fields, entry_point="f", test="", extra=extra)


def is_passed(problem: records.Problem, program: str) -> bool:
    """Whether the test passes on the program, run here."""
    namespace: dict = {}
    exec(program, namespace)
    test: dict = {}
    exec(inner_test.from_inputs(problem), test)
    try:
        test["check"](namespace["f"])
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    ("reference", "other", "extra", "expected"),
    [
        ("return x + 1", "return 1 + x", {}, True),
        ("return x + 1", "return x + 1.0", {}, True),
        ("return x + 1", "return x + 1 + 1e-7", {"atol": 1e-6}, False),  # another type
        ("return x + 0.1", "return x + 0.1 + 1e-9", {"atol": 1e-6}, True),
        ("return x + 0.1", "return x + 0.2", {"atol": 1e-6}, False),
        ("return [x, 2]", "return [2, x]", {"oracle": "any order"}, True),
        ("return [x, 2]", "return [2, x]", {}, False),
        ("return x == inf_", "return x == inf_", {}, True),
    ],
)
def test_outputs_are_compared_as_outside(reference, other, extra, expected):
    head = "inf_ = float('inf')\n\ndef f(x):\n    "
    problem = plus_problem(f"{head}{reference}\n", [1], [float("inf")], [3], **extra)
    assert is_passed(problem, f"{head}{other}\n") == expected


def test_arguments_have_the_types_that_json_lost_and_no_program_changes_them():
    program = "def f(x):\n    x.append(isinstance(x[0], tuple))\n    return x\n"
    problem = plus_problem(program, [[[1]]], [[[2]]], forms=["lt"])
    assert is_passed(problem, program)
    assert not is_passed(problem, program.replace("tuple", "list"))


def test_a_reference_whose_answers_cannot_travel_is_judged_in_process(tmp_path):
    if reason := registry.absence("python", ""):
        pytest.skip(f"python is {reason}")
    problem = plus_problem(PATH.format(rest=""), ["a/b"], ["/c"])
    samples = [
        ("t", f"    return PurePath(text){rest}\n") for rest in (" / ''", ".parent", ".name")
    ]
    report, rows = run(tmp_path, [problem], samples)
    assert [rows["t", i].verdict for i in range(3)] == ["passed", "failed", "failed"]
    assert {row.extra["mode"] for row in rows.values()} == {"in-process"}
    assert report["references"]["judged_in_process"] == ["t"]


def test_a_reference_that_fails_there_too_is_left_out_with_both_reasons(tmp_path):
    program = "import itertools\n\ndef f(n):\n    return lambda: n\n"
    report, _ = run_left_out(tmp_path, plus_problem(program, [1], [2]), "    return n\n")
    reason = report["references"]["left_out"]["t"]
    assert "in-process wrong_answer" in reason or registry.absence("python", "")
