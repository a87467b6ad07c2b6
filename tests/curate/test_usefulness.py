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


ANSWERS = [case("ab", value={"kind": "ab"}), case("c", value={"kind": "c"})]
CURVE = [case(2.0, value=9.20208e-07), case(1.0, value=4.60104e-07)]


def check_stated(docstring: str, body: str, cases) -> None:
    statements = node(f"def f(x):\n    {body}\n").body
    usefulness.check_stated(f'def f(x):\n    """{docstring}"""\n', statements, cases)


@pytest.mark.parametrize(
    ("docstring", "body", "cases", "reason"),
    [
        ("Describes x.", "return {'kind': x}", ANSWERS, "a text that only the body states"),
        ("Describes x.", "return f'<kind {x}>'", [case(1, value="<kind 1>")], "a text"),
        ("Names x.", "return 'it\\'s' + x", [case("a", value="it'sa")], "a text"),
        ("Fits x.", "return 4.60104123e-07 * x", CURVE, "a number that only the body states"),
    ],
)
def test_what_only_the_body_states(docstring, body, cases, reason):
    with pytest.raises(RejectedError, match=reason):
        check_stated(docstring, body, cases)


@pytest.mark.parametrize(
    ("docstring", "body", "cases"),
    [
        ("Returns the Kind of x.", "return {'kind': x}", ANSWERS),
        ("Describes x.", "return {'kind': x['kind']}", [case({"kind": 1}, value={"kind": 1})]),
        ("Encodes x.", "return x.lower() or 'utf8'", [case("UTF8", value="utf8")]),
        ("Is x or nothing.", "return None if x == 'None' else x", [case(1, value=None)]),
        ("Describes x.", "raise ValueError('not a kind')", ANSWERS),  # in no answer
        ("Joins x.", "return ', '.join(x)", [case(["a", "b"], value="a, b")]),
        (r"Is 4.60104123\times 10^{-7} times x.", "return 4.60104123e-07 * x", CURVE),
        ("Converts x to kelvins.", "return x + 273.15", [case(0.0, value=273.15)]),
    ],
)
def test_what_a_solver_can_know(docstring, body, cases):
    check_stated(docstring, body, cases)
