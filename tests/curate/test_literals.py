"""Literals stand for their values, and equality is strict about types."""

import ast
import math

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax.curate.inputs import literals

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=8)
SCALARS |= st.floats(allow_nan=False)
KEYS = st.integers() | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.frozensets(KEYS, max_size=3)
        | st.sets(KEYS, max_size=3)
    ),
    max_leaves=8,
)


@hypothesis.given(VALUES)
def test_a_literal_evaluates_to_its_value(value):
    hypothesis.assume(literals.is_plain(value))
    try:
        text = literals.literal(value)
    except ValueError:
        hypothesis.reject()
    assert literals.is_equal(eval(text), value)


def test_sets_are_written_in_one_order():
    assert literals.literal({"b", "a"}) == "{'a', 'b'}"
    assert literals.literal(set()) == "set()"
    assert literals.literal(frozenset({2, 1})) == "frozenset({1, 2})"
    assert literals.literal(-math.inf) == "float('-inf')"


@pytest.mark.parametrize(
    "value", [math.nan, object(), [object()], type("S", (str,), {})("a"), range(3)]
)
def test_what_is_no_plain_value(value):
    assert not literals.is_plain(value)
    with pytest.raises(ValueError, match="isn't plain"):
        literals.literal(value)


def test_long_and_deep_values_are_refused():
    with pytest.raises(ValueError, match="characters"):
        literals.literal("x" * 5000)
    deep = []
    for _ in range(2000):
        deep = [deep]
    assert not literals.is_plain(deep)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, True), (1, 1.0), ([1], (1,)), ({1: 2}, {1: 2.0}), ({1}, frozenset({1})), ({1}, {True})],
)
def test_equal_values_of_other_types_differ(left, right):
    assert left == right or type(left) is not type(right)
    assert not literals.is_equal(left, right)
    assert literals.is_equal(left, left)


def test_parsing():
    assert literals.parse(ast.parse("{'a': (1, -2)}", mode="eval").body) == {"a": (1, -2)}
    with pytest.raises(ValueError, match="malformed"):
        literals.parse(ast.parse("f(x)", mode="eval").body)


@pytest.mark.parametrize(
    "value", [1 << 20_000, [-(1 << 20_000)], {"k": 1 << 20_000}], ids=["int", "list", "dict"]
)
def test_a_number_that_python_cannot_write_is_not_plain(value):
    assert not literals.is_plain(value)
    with pytest.raises(ValueError, match="isn't plain data"):
        literals.literal(value)
