"""Cases: what is rewarded and what is held back, own shadow tests, problems that can't be split."""

import pytest

from codex_jax import InputError
from codex_jax.curate import chains
from codex_jax.rl.cases import split_cases
from tests.rl.conftest import make_problem


def count(problem):
    return problem.test.count("assert ")


@pytest.mark.parametrize(
    ("share", "rewarded", "shadow"), [(0.25, 6, 2), (0.5, 4, 4), (0.0, 7, 1), (1.0, 1, 7)]
)
def test_the_last_cases_are_shadow_cases(share, rewarded, shadow):
    problem = chains.problem((1, 2), task_id="c", seed=0)
    cases = split_cases(problem, share)
    assert (count(cases.rewarded), count(cases.shadow)) == (rewarded, shadow)
    assert [count(single) for single in cases.single] == [1] * rewarded
    lines = problem.test.splitlines()[1:]
    assert cases.rewarded.test.splitlines()[1:] == lines[:rewarded]
    assert cases.shadow.test.splitlines()[1:] == lines[rewarded:]
    assert {case.task_id for case in (*cases[:2], *cases.single)} == {"c"}


def test_what_asserts_nothing_is_part_of_every_case():
    test = (
        "import math\n\ndef check(candidate):\n    values = [1, 2]\n"
        "    for value in values:\n        assert candidate(value) == value\n"
        "    assert math.isfinite(candidate(3))\n"
    )
    cases = split_cases(make_problem(0, test=test), 0.25)
    assert count(cases.rewarded) == count(cases.shadow) == 1
    for part in cases[:2]:
        assert "import math" in part.test
        assert "values = [1, 2]" in part.test
    assert "isfinite" in cases.shadow.test


def test_helpers_and_constant_assertions_are_no_cases():
    """HumanEval's tests end with `assert True`, which as a shadow case would hide every hack."""
    test = (
        "def check(candidate):\n"
        "    def assert_near(a, b):\n        assert abs(a - b) < 1\n"
        "    assert candidate(1) == 1\n"
        "    assert candidate(2) == 2\n"
        "    assert_near(candidate(3), 3)\n"
        '    assert True, "edge cases"\n'
    )
    cases = split_cases(make_problem(0, test=test), 0.25)
    assert "candidate(1)" in cases.rewarded.test
    assert "candidate(2)" in cases.shadow.test
    assert len(cases.single) == 1
    for part in (*cases[:2], *cases.single):
        assert "def assert_near" in part.test
        assert "assert_near(candidate(3), 3)" in part.test


def test_a_test_without_check_is_split_too():
    cases = split_cases(make_problem(1, test="assert f(1) == 2\nassert f(2) == 3\n"), 0.25)
    assert (cases.rewarded.test, cases.shadow.test) == ("assert f(1) == 2\n", "assert f(2) == 3\n")


@pytest.mark.parametrize(
    ("prompt", "solution"),
    [
        ("Write g.", ""),  # without a reference nothing says what programs define
        ("# Sums.\n", "def g(x):\n    return x + 1\n"),
        ("", "from library import *\n"),
    ],
)
def test_an_entry_point_that_programs_may_define_is_no_fault(prompt, solution):
    fields = {"prompt": prompt, "canonical_solution": solution, "entry_point": "g"}
    assert split_cases(make_problem(1, **fields), 0.25).rewarded.entry_point == "g"


def test_a_problem_may_bring_its_shadow_test():
    test = "def check(candidate):\n    assert isinstance(candidate(1), int)\n"
    shadow = "def check(candidate):\n    assert candidate(1) == 1\n"
    for name in ("shadow_test", "shadow"):  # the latter is of `curate`
        cases = split_cases(make_problem(0, test=test, extra={name: shadow}), 0.25)
        assert (cases.rewarded.test, cases.shadow.test) == (test, shadow)


FAULTY = {
    "no test": ({"test": ""}, "no test"),
    "no entry point": ({"entry_point": ""}, "no entry_point"),
    "absent": (
        {"entry_point": "g", "canonical_solution": "1"},
        "neither prompt nor canonical_solution has .* 'g'",
    ),
    "one case": ({"test": "def check(candidate):\n    assert candidate(1) == 1\n"}, "has 1 cases"),
    "no case": ({"test": "def check(candidate):\n    candidate(1)\n"}, "has 0 cases"),
    "no Python": ({"test": "assert f(1) = 2"}, "its test doesn't parse"),
    "in-process": ({"extra": {"mode": "in-process", "language": "python"}}, "outside"),
    "another language": ({"extra": {"language": "rust"}}, "outside"),
    "infilling": ({"extra": {"suffix": "\n"}}, "has a suffix"),
    "no text": ({"extra": {"shadow_test": 3}}, "expected tests"),
    "no shadow case": ({"extra": {"shadow_test": "x = 1\n"}}, "expected tests that assert"),
    "no shadow": ({"extra": {"shadow_test": ""}}, "expected tests that assert"),
    "faulty shadow": ({"extra": {"shadow_test": "assert f(1) = 2"}}, "its test doesn't parse"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_problem_that_cannot_be_split_is_refused_in_a_line(name):
    fields, message = FAULTY[name]
    with pytest.raises(InputError, match=message) as error:
        split_cases(make_problem(1, **fields), 0.25)
    assert str(error.value).startswith("t/1: ")
    assert "\n" not in str(error.value)
