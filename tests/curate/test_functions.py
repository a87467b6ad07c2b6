"""A function of a package becomes a problem whose tests its reference passes."""

import ast

import pytest

from codex_jax.curate import functions
from codex_jax.curate.execution import Call
from codex_jax.curate.problems.cases import Case
from codex_jax.curate.problems.usefulness import RejectedError
from tests.curate.conftest import load, package_of, run_check

SOURCE = '''
from .other import VOWELS

def count_vowels(text: str, limit: int = 5) -> int:
    """Counts the vowels of a text, up to a limit."""
    count = sum(char in VOWELS for char in text.lower())
    return min(count, limit)

def vowels(text: str):
    """Yields the vowels of a text one by one."""
    for char in text:
        if char in VOWELS:
            yield char

def _same(text: str):
    """Returns the text that it was given."""
    other = text
    return other

def undocumented(text: str):
    parts = text.split(",")
    return parts[-1]
'''
OTHER = 'VOWELS = "aeiou"\n'


PAIRS = '''
def by_distance(points: list):
    """Returns the points, (x, y) each, that aren't the origin, the nearest to it first."""
    others = [point for point in points if point != (0, 0)]
    return sorted(others, key=lambda point: point[0] ** 2 + point[1] ** 2)
'''


def make(session, name, recorded=(), route="candidates"):
    package = package_of(a=SOURCE, other=OTHER)
    workbench = functions.Workbench(package, session, route=route, seed=0)
    module = package.modules["pkg.a"]
    (node,) = [n for n in module.tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    return workbench.make_problem(module, node, [], list(recorded))


@pytest.mark.parametrize("name", ["count_vowels", "vowels", "undocumented"])
def test_a_problem_and_its_reference(session, name):
    problem = make(session, name)
    reference = load(problem.prompt + problem.canonical_solution, name)
    run_check(problem.test, reference)
    run_check(problem.extra["shadow"], reference)
    with pytest.raises(AssertionError):
        run_check(problem.test, lambda *_, **__: "")
    assert problem.task_id == f"candidates/pkg/pkg.a.{name}"
    assert problem.extra["license"] == "MIT"
    assert problem.extra["file"] == "pkg/a.py"
    assert problem.extra["documented"] == (name != "undocumented")
    assert problem.extra["branch_coverage"] == 1.0


def test_the_same_seed_makes_the_same_problem(session):
    assert make(session, "count_vowels") == make(session, "count_vowels")


def test_an_identity_makes_none(session):
    with pytest.raises(RejectedError, match="returns an argument"):
        make(session, "_same")


def test_recorded_answers_must_be_reproduced(session):
    right = [Case(Call(("audio",), {}), 4), Case(Call(("sky", 1), {}), 0)]
    problem = make(session, "count_vowels", right, route="traces")
    assert problem.extra["recorded_cases"] == 2
    wrong = [Case(Call(("audio",), {}), 3)]
    with pytest.raises(RejectedError, match="recorded answers aren't reproduced"):
        make(session, "count_vowels", wrong, route="traces")


def test_answers_that_hold_tuples_of_the_arguments(session):
    package = package_of(a=PAIRS)
    module = package.modules["pkg.a"]
    (node,) = [n for n in module.tree.body if isinstance(n, ast.FunctionDef)]
    calls = [
        Call((points,), {}) for points in ([(3, 4), (1, 1)], [(0, 0)], [(2, 0), (0, 0), (1, 0)])
    ]
    workbench = functions.Workbench(package, session, route="candidates", seed=0)
    problem = workbench.make_problem(module, node, calls, [])
    assert "[(1, 1), (3, 4)]" in problem.prompt + problem.test + problem.extra["shadow"]


def test_recorded_calls_of_a_function_that_changes_its_arguments(session):
    package = package_of(
        a='def drain(xs, n=2):\n    """Takes n items from the front of a list of items."""\n'
        "    out = []\n    while xs and len(out) < n:\n        out.append(xs.pop(0))\n"
        "    return out\n"
    )
    module = package.modules["pkg.a"]
    recorded = [
        Case(Call((list(range(n)),), {}), list(range(n))[:2], is_recorded=True) for n in range(5)
    ]
    wrong = Case(Call(([7, 8],), {}), [8], is_recorded=True)
    workbench = functions.Workbench(package, session, route="traces", seed=0)
    problem = workbench.make_problem(module, module.tree.body[0], [], [*recorded, wrong])
    assert problem.extra["recorded_cases"] == 5
    assert "[[7, 8]]" not in problem.test + problem.extra["shadow"]


def test_a_function_with_a_number_of_too_many_digits_is_refused(session):
    text = (
        f'def f(x: int):\n    """Masks a number by another long one."""\n    y = 0x{"f" * 4000}\n'
    )
    package = package_of(a=f"{text}    return x & y\n")
    module = package.modules["pkg.a"]
    workbench = functions.Workbench(package, session, route="traces", seed=0)
    with pytest.raises(ValueError, match="digits"):
        workbench.make_problem(module, module.tree.body[0], [], [])
