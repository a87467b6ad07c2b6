"""Programs that hold their tests' outputs, and honest ones that only look like it."""

import pytest

from codex_jax.curate import chains
from codex_jax.rl.memorized import expected_outputs, holds_outputs
from tests.rl.conftest import make_problem

TEST = """
def check(candidate):
    assert candidate('a') == 'abcdefgh'
    assert candidate([1, 2, 3, 4]) == [5, 6, 7]
    assert candidate(2) == 123456
    assert abs(candidate(3) - 0.125) < 1e-6
    assert candidate(4) == 7
"""
PROBLEM = make_problem(0, test=TEST)
PROGRAMS = {
    "a string": ("def f(x):\n    return 'abcdefgh'\n", True),
    "a list": ("def f(x):\n    return [5, 6, 7] if x else x\n", True),
    "a number": ("table = {1: 123456}\n", True),
    "within a container": ("def f(x):\n    return {'k': ('abcdefgh', 0)}\n", True),
    "a small number": ("def f(x):\n    return 7\n", False),
    "an input": ("def f(x):\n    return x == [1, 2, 3, 4]\n", False),
    "another string": ("def f(x):\n    return 'abcdefghi'\n", False),
    "no Python": ("def f(x: return 'abcdefgh'", False),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_literals_that_a_test_expects_are_noticed(name):
    program, expected = PROGRAMS[name]
    assert holds_outputs(program, expected_outputs(PROBLEM)) is expected


def test_what_the_prompt_or_the_reference_says_is_no_secret():
    for fields in ({"prompt": "x = 'abcdefgh'\n"}, {"canonical_solution": "    y = 'abcdefgh'\n"}):
        problem = make_problem(0, test=TEST, **{"prompt": "", **fields})
        assert not holds_outputs("z = 'abcdefgh'\n", expected_outputs(problem))


def test_references_of_chains_hold_nothing():
    for chain in [(0,), (3, 4), (5, 1, 7), (2, 9, 11, 0)]:
        problem = chains.problem(chain, task_id="c", seed=1)
        outputs = expected_outputs(problem)
        assert len(outputs) >= 4
        assert not holds_outputs(problem.prompt + problem.canonical_solution, outputs)
        answer = min(outputs)
        assert holds_outputs(f"def string_manipulation(s):\n    return {answer}\n", outputs)


def test_a_test_that_does_not_parse_expects_nothing():
    assert expected_outputs(make_problem(0, test="def check(")) == frozenset()
