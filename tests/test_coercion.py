import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from codex_jax import coercion


@pytest.mark.parametrize(
    ("value", "hint", "fitted"),
    [
        (1, float, 1.0),
        (1, int, 1),
        ([1, 2], Sequence[int], (1, 2)),
        ((1, 2), list[int], [1, 2]),
        ((1, "a"), tuple[int, str], (1, "a")),
        ("a/b", pathlib.Path, pathlib.Path("a/b")),
        (None, str | None, None),
        ("x", Literal["x", "y"], "x"),
        ({"a": 1}, Mapping[str, float], {"a": 1.0}),
        ({"a": ["b", 2]}, Mapping[str, str | Sequence[Any]], {"a": ("b", 2)}),
        (object, Any, object),
        (True, bool, True),
        (1, dict | int, 1),
        ("a", "a string annotation", "a"),
        (np.int64(3), int, 3),
        (np.float32(0.5), float, 0.5),
        ([np.int32(1)], Sequence[int], (1,)),
    ],
)
def test_values_are_converted_to_their_hint(value, hint, fitted):
    result = coercion.fit(value, hint)
    assert result == fitted
    assert type(result) is type(fitted)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("1", int),
        (1.5, int),
        (True, int),
        (True, float),
        (3, str),
        ("ab", Sequence[str]),
        ((1, 2, 3), tuple[int, int]),
        ("z", Literal["x", "y"]),
        ({"a": "b"}, Mapping[str, int]),
        (None, int),
        (1, bool),
        (3, pathlib.Path),
        (np.float32(1.0), int),
        (np.bool_(True), int),
        (np.array([1, 2]), Sequence[int]),
    ],
)
def test_misfits_are_refused(value, hint):
    with pytest.raises(coercion.MismatchError):
        coercion.fit(value, hint)


@hypothesis.given(st.recursive(st.integers() | st.text(), st.lists))
def test_fitting_twice_is_fitting_once(value):
    once = coercion.fit(value, Any)
    assert coercion.fit(once, Any) == once == value


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (str, True),
        (pathlib.Path | str, True),
        (str | None, True),
        (Literal["a", "b"], True),
        (Literal["a", 1], False),
        (int, False),
        (str | int, False),
        (Any, False),
    ],
)
def test_wants_text(hint, text):
    assert coercion.wants_text(hint) is text
