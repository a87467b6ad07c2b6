"""Texts of problems: prompt and body joined are the program; test, shadow and examples differ."""

import ast
import random

import pytest

from codex_jax.curate.execution import Call
from codex_jax.curate.packages.extraction import Extracted
from codex_jax.curate.problems import assembly
from codex_jax.curate.problems.cases import Case
from codex_jax.curate.problems.usefulness import RejectedError
from tests.curate.conftest import load, run_check

DEFINITION = '''def double(n):
    """Doubles a number.

    It says so.
    """
    # a comment
    result = n * 2
    return result
'''
CASES = [Case(Call((n,), {}), n * 2) for n in range(30)]


def split(cases=CASES, *, wants_examples=True):
    return assembly.split_cases(cases, wants_examples=wants_examples, rng=random.Random(0))


def assemble(definition=DEFINITION, cases=CASES, prelude=""):
    return assembly.assemble(
        Extracted("double", prelude, definition), split(cases), task_id="t", extra={"a": 1}
    )


def test_prompt_and_body_are_the_program_and_pass():
    problem = assemble(prelude="import math\n")
    source = problem.prompt + problem.canonical_solution
    double = load(source, "double")
    run_check(problem.test, double)
    run_check(problem.extra["shadow"], double)
    assert problem.prompt.startswith("import math\n\n\ndef double(n):")
    assert problem.canonical_solution.startswith("    # a comment\n")
    with pytest.raises(AssertionError):
        run_check(problem.test, lambda n: n)


def test_examples_are_in_the_docstring_and_not_in_the_test():
    problem = assemble()
    examples = [line.strip() for line in problem.prompt.splitlines() if ">>>" in line]
    assert len(examples) == 2
    for example in examples:
        arguments = example.removeprefix(">>> double(").removesuffix(")")
        assert f"candidate({arguments}) ==" not in problem.test + problem.extra["shadow"]
    docstring = ast.get_docstring(ast.parse(problem.prompt + problem.canonical_solution).body[0])
    assert docstring.startswith("Doubles a number.\n\nIt says so.\n\n>>> double(")


def test_a_third_is_apart_and_cases_are_disjoint():
    parts = split()
    texts = [case.key for part in parts for case in part]
    assert len(texts) == len(set(texts))
    assert (len(parts.examples), len(parts.test), len(parts.shadow)) == (2, 19, 9)
    many = split([Case(Call((n,), {}), n * 2) for n in range(200)], wants_examples=False)
    assert (len(many.examples), len(many.test), len(many.shadow)) == (0, 24, 12)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_cases(count):
    with pytest.raises(RejectedError, match="fewer than 4 cases"):
        split(CASES[:count])


def test_four_cases_of_two_outputs_are_enough():
    cases = [Case(Call((n,), {}), n > 2) for n in range(4)]
    parts = split(cases)
    assert len(parts.test) == 3
    assert {case.value for case in parts.test} == {True, False}


@pytest.mark.parametrize(
    ("docstring", "has_examples"),
    [
        ("    '''Doubles a number.'''\n", True),
        ('    r"""Doubles \\d a number."""\n', True),
        ('    "Doubles a number."\n', False),
    ],
)
def test_quotes_of_docstrings(docstring, has_examples):
    problem = assemble(f"def double(n):\n{docstring}    return n * 2\n")
    assert (">>> double(" in problem.prompt) == has_examples
    run_check(problem.test, load(problem.prompt + problem.canonical_solution, "double"))


def test_backslashes_in_examples_are_escaped():
    cases = [Case(Call((f"{n}\n",), {}), f"{n}\\") for n in range(9)]
    problem = assemble(cases=cases)
    docstring = ast.get_docstring(ast.parse(problem.prompt + "    pass\n").body[0])
    assert ">>> double('" in docstring
    assert "\\n')" in docstring


@pytest.mark.parametrize(
    "definition", ['def double(n): "Doubles."; return n\n', 'def double(n):\n    "D."; return n\n']
)
def test_docstring_and_body_on_one_line(definition):
    with pytest.raises(RejectedError, match="on one line"):
        assembly.split_definition(definition)


def test_no_docstring():
    for mark in ("\x0c", "\u2028"):
        definition = f'def f(n):\n    """a{mark}b\n    c"""\n    return n\n'
        assert assembly.split_definition(definition)[1] == "    return n\n"
    header, body = assembly.split_definition("def f(\n    n,\n):\n    # note\n    return n\n")
    assert header + body == "def f(\n    n,\n):\n    # note\n    return n\n"
    assert body == "    return n\n"


@pytest.mark.parametrize(
    "definition",
    [
        "def f(x, y): return x + y\n",
        "def f(x,\n      y): return x + y\n",
        "def f(x, y): x += 1; return x\n",
    ],
)
def test_signature_and_body_on_one_line(definition):
    with pytest.raises(RejectedError, match="signature and body on one line"):
        assembly.split_definition(definition)


@pytest.mark.parametrize(
    "inner", ["@cache\n    def g(): pass", "@a\n    @b(\n    1)\n    class G: pass"]
)
def test_a_decorator_begins_the_body(inner):
    header, body = assembly.split_definition(f"def f(x):\n    {inner}\n    return x\n")
    assert header == "def f(x):\n"
    assert body.startswith("    @")
