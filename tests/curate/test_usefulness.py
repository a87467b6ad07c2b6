"""Functions and cases that make no useful problem."""

import ast

import pytest

from codex_jax.curate.execution import Call
from codex_jax.curate.problems import usefulness
from codex_jax.curate.problems.cases import Case
from codex_jax.curate.problems.usefulness import RejectedError

DOC = '    """Returns what it should return."""\n'


def node(text: str) -> ast.FunctionDef:
    return ast.parse(text).body[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"def f():\n{DOC}    x = 1\n    return x\n", "no arguments"),
        (f"def f(x):\n{DOC}    return x\n", "fewer than 2 statements"),
        (f"def f(x):\n{DOC}    x.append(1)\n    x.sort()\n", "returns nothing"),
        (f"def f(x):\n{DOC}", "an empty body"),
        ('def f(x):\n    """Does it."""\n    y = 1\n    return y\n', "its docstring says little"),
        (f"@typing.overload\ndef f(x):\n{DOC}    y = 1\n    return y\n", "an overload"),
        (f"def f(x):\n{DOC}" + "    x += 1\n" * 70 + "    return x\n", "a long body"),
        ('def f(x):\n    """Is a deprecated alias."""\n    y = 1\n    return y\n', "deprecated"),
        (
            'def f(x):\n    """' + "word " * 900 + '"""\n    y = 1\n    return y\n',
            "a long docstring",
        ),
    ],
)
def test_functions_that_make_none(text, reason):
    with pytest.raises(RejectedError, match=reason):
        usefulness.check_function(node(text))


@pytest.mark.parametrize(
    "text",
    [
        f"def f(x):\n{DOC}    return sorted(x)[0]\n",
        f"def f(x):\n{DOC}    for y in x:\n        yield y\n",
        "def f(x):\n    if x:\n        return 1\n    return 2\n",
    ],
)
def test_functions_that_make_one(text):
    usefulness.check_function(node(text))


def test_generators():
    assert usefulness.is_generator(node("def f():\n    yield 1\n"))
    assert not usefulness.is_generator(
        node("def f():\n    def g():\n        yield 1\n    return g\n")
    )


def case(*arguments, value, changed=None) -> Case:
    return Case(Call(arguments, {}), value, changed)


@pytest.mark.parametrize(
    ("cases", "reason"),
    [
        ([case(n, value=1) for n in range(4)], "fewer than 2 outputs"),
        ([case(0, n, value=n) for n in range(4)], "returns an argument$"),
        ([case(n, value=str(n)) for n in range(4)], "returns an argument's text"),
        ([case(n, value=n == 0) for n in range(9)], "nearly always the same output"),
    ],
)
def test_trivial_bodies_would_pass(cases, reason):
    with pytest.raises(RejectedError, match=reason):
        usefulness.check_cases(cases)


def test_cases_that_trivial_bodies_fail():
    usefulness.check_cases([case(n, value=n % 3) for n in range(6)])
    usefulness.check_cases([case([n], value=None, changed=[[n, 1]]) for n in range(6)])
