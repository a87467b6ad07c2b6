"""Plain values cross the pipe unchanged, everything else stripped of its tricks."""

import collections
import decimal
import enum
import fractions
import json
import math
from typing import NamedTuple

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax.evaluate.sandbox.guest import value_codec

hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.fractions()
    | st.decimals(allow_nan=False),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
plain = st.recursive(
    hashable | st.builds(bytearray, st.binary()) | st.builds(range, st.integers(0, 10**20)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.sets(hashable, max_size=4)
    ),
    max_leaves=12,
)


def across(value, **options):
    return value_codec.decode(json.loads(json.dumps(value_codec.encode(value, **options))))


def alike(a, b) -> bool:
    """Equal, and of the same type all the way down: True isn't 1, -0.0 isn't 0.0."""
    return a == b and type(a) is type(b) and repr(a) == repr(b)


@hypothesis.given(plain)
def test_plain_values_arrive_as_they_left(value):
    arrived = across(value, strict=True)
    assert arrived == value
    if not isinstance(value, set | frozenset | dict):
        assert type(arrived) is type(value)


@pytest.mark.parametrize("value", [True, 1, 1.0, -0.0, "1", (1,), [1], {1: [True]}, b"1", 1j])
def test_types_are_kept_apart(value):
    assert alike(across(value), value)


def test_floats_outside_the_numbers_arrive():
    assert math.isnan(across(math.nan))
    assert across([math.inf, -math.inf]) == [math.inf, -math.inf]


class Liar(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


class Pair(NamedTuple):
    x: int
    y: int


class Point(Pair):
    def __iter__(self):
        return iter([7, 7])


class Color(enum.IntEnum):
    RED = 3


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Liar(4), 4),
        (Point(1, 2), (1, 2)),
        (Color.RED, 3),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (decimal.Decimal("1.10"), decimal.Decimal("1.10")),
        (fractions.Fraction(1, 3), fractions.Fraction(1, 3)),
    ],
)
def test_subclasses_arrive_as_what_they_extend(value, arrives):
    assert alike(across(value), arrives)


def test_iterators_can_be_read_but_equal_nothing():
    assert across(iter([1, 2])) != [1, 2]
    assert list(across(x * x for x in range(3))) == [0, 1, 4]
    assert sorted(across({"b": 1, "a": 2}.keys())) == ["a", "b"]


def test_objects_arrive_as_nothing_but_their_names():
    arrived = across(pytest)
    assert repr(arrived) == "<builtins.module object>"
    assert arrived != across(pytest)


def test_strictly_only_what_can_be_restored():
    for value in (iter([]), object(), Liar(1), [collections.Counter()], {"a": len}):
        with pytest.raises(TypeError, match="isn't plain data"):
            value_codec.encode(value, strict=True)


@pytest.mark.parametrize(
    "form",
    [
        {"tuple": 3},
        {"no such tag": []},
        {},
        {"int": 1, "tuple": []},
        {"dict": [[[], 1]]},
        {"set": [{"dict": []}]},
        {"complex": ["x", 0]},
        {"fraction": ["0x1", "0x0"]},
        {"decimal": "9" * 20_000},
        {"bytes": "zz"},
        {"range": ["0x0", "0x1", "0x0"]},
    ],
)
def test_forged_forms_are_refused(form):
    with pytest.raises((ValueError, TypeError, ArithmeticError)):
        value_codec.decode(form)
