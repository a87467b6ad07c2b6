"""Constants: which values may change, and their layout."""

import ast

import pytest

from codex_jax.curate.packages import constants


@pytest.mark.parametrize("value", ["1", "-1", "'a' 'b'", "(1, 'a')", "1 << 20", "re.compile('a')"])
def test_values_that_stay(value):
    assert not constants.is_changeable(ast.parse(f"T = {value}").body[0])


@pytest.mark.parametrize(
    "value", ["[1]", "{}", "(1, [])", "[1] * 3", "make()", "OTHER", "T: x = {}"]
)
def test_values_that_may_change(value):
    text = value if ":" in value else f"T = {value}"
    assert constants.is_changeable(ast.parse(text).body[0])


def test_functions_and_classes_are_no_constants():
    assert not any(map(constants.is_changeable, ast.parse("def f(): pass\nclass C: pass").body))


@pytest.mark.parametrize("value", ["iter(x)", "itertools.chain.from_iterable(x)", "(i for i in x)"])
def test_values_that_are_used_up(value):
    assert constants.is_used_up(ast.parse(value, mode="eval").body)
    assert not constants.is_used_up(ast.parse(f"list({value})", mode="eval").body)
    assert not constants.is_used_up(None)


def test_lines_are_joined_and_blocks_are_not():
    texts = ["A = 1\n", "B = 2\n", "def f():\n    pass\n", "C = 3\n", "D = [\n]\n"]
    assert constants.join_lines(texts) == ["A = 1\nB = 2\n", *texts[2:]]
