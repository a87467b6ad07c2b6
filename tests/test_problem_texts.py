"""Problems as texts of Codex-S and Codex-D: forms, other spellings of docstrings, no function."""

import ast

import pytest

from codex_jax.problem_texts import (
    find_span,
    split_lines,
    to_code_text,
    to_docstring_text,
    with_docstring,
)

PROMPT = '''import math


def helper(x):
    """Is another function."""
    return x


def area(r: float) -> float:
    """
    Computes the area of a circle.

    >>> area(0)
    0.0
    """
'''
SOLUTION = "    return math.pi * r ** 2\n\n\n"


def docstring_of(code: str, name: str) -> str:
    functions = [n for n in ast.parse(code).body if isinstance(n, ast.FunctionDef)]
    return next(ast.get_docstring(n).strip() for n in functions if n.name == name)


def test_codex_s_reads_the_prompt_and_writes_the_solution():
    text = to_code_text(PROMPT, SOLUTION)
    assert text == (PROMPT, "    return math.pi * r ** 2\n")


def test_codex_d_reads_the_program_and_writes_the_docstring_in_one_form():
    context, text = to_docstring_text(PROMPT, SOLUTION, "area")
    assert context == (
        'import math\n\n\ndef helper(x):\n    """Is another function."""\n    return x\n\n\n'
        "def area(r: float) -> float:\n    return math.pi * r ** 2\n"
        '    """'
    )
    assert text == 'Computes the area of a circle.\n\n    >>> area(0)\n    0.0\n    """\n'
    ast.parse(context + text)


@pytest.mark.parametrize(
    "spelling",
    [
        '    """Adds 1."""\n',
        "    'Adds 1.'\n",
        '    r"""Adds 1."""\n',
        '    """\n    Adds 1.\n\n    """\n',
        '    """Adds 1."""  # really\n',
    ],
)
def test_a_docstring_s_spelling_does_not_show(spelling):
    context, text = to_docstring_text(f"def f(x):\n{spelling}", "    return x + 1", "f")
    assert context == 'def f(x):\n    return x + 1\n    """'
    assert text == 'Adds 1.\n    """\n'


def test_a_docstring_in_the_header_s_line_gets_a_line():
    context, text = to_docstring_text('def f(x): "Adds 1."\n', "    return x + 1\n", "f")
    assert context == 'def f(x):\n    return x + 1\n    """'
    assert text == 'Adds 1.\n    """\n'


@pytest.mark.parametrize(
    "value",
    [
        "Has \\ and \\n.",
        'Has """ and "',
        "Has \x0c and \r\n ends",
        "Größe ü",
        "a\n\n  b\n c",
        "\ud800 \udfff",
    ],
)
def test_any_docstring_s_value_comes_back(value):
    prompt = f"def größe(x):\n    {value!r}\n"
    context, text = to_docstring_text(prompt, "    return x\n", "größe")
    renewed = with_docstring(prompt, text, "größe")
    assert docstring_of(renewed, "größe") == docstring_of(prompt, "größe")
    ast.parse(context + text)


def test_lines_of_the_prompt_behind_the_docstring_stay():
    prompt = 'def f(x):\n    """Adds 1."""\n    one = 1\n'
    context, _ = to_docstring_text(prompt, "    return x + one\n", "f")
    assert context == 'def f(x):\n    one = 1\n    return x + one\n    """'
    renewed = with_docstring(prompt, "Adds one.", "f")
    assert renewed == 'def f(x):\n    """Adds one.\n    """\n    one = 1\n'


def test_a_function_without_docstring_can_get_one():
    prompt = "def f(x):\n"
    context, text = to_docstring_text(prompt, "    return x + 1\n", "f")
    assert (context, text) == ('def f(x):\n    return x + 1\n    """', "")
    sample = 'Adds 1.\n    """\n\n\ndef g(x):'
    assert with_docstring(prompt, sample, "f") == 'def f(x):\n    """Adds 1.\n    """\n'


@pytest.mark.parametrize("indent", ["  ", "\t"])
def test_a_docstring_is_indented_as_the_body(indent):
    solution = f"\n{indent}# adds\n{indent}return x + 1\n"
    context, _ = to_docstring_text("def f(x):\n", solution, "f")
    assert context == f'def f(x):\n{solution}{indent}"""'
    renewed = with_docstring("def f(x):\n", "Adds 1.", "f", solution)
    assert docstring_of(renewed + solution, "f") == "Adds 1."


@pytest.mark.parametrize("prompt", ["function f(x) {\n", "x = 1\n", 'def g(x):\n    """G."""\n'])
def test_no_function_of_that_name_gives_nothing(prompt):
    assert to_docstring_text(prompt, "    return 1\n", "f") is None
    assert with_docstring(prompt, "Words.", "f") is None


@pytest.mark.parametrize("mark", ["\x0c", "\x1c", "\x85", "\u2028", "\v"])
def test_lines_are_those_of_the_syntax_tree(mark):
    source = f'a = "x{mark}y"\rb = 1\r\nc = """{mark}\r"""\n'
    lines = split_lines(source)
    assert "".join(lines) == source
    ends = [statement.end_lineno for statement in ast.parse(source).body]
    assert ends == [1, 2, 4] == [1, 2, len(lines)]
    assert lines[1] == "b = 1\r\n"


def test_spans_are_in_characters():
    source = "x = 'é😀'; y = 'é'\n"
    (_, second) = ast.parse(source).body
    start, stop = find_span(source, second)
    assert source[start:stop] == "y = 'é'"
