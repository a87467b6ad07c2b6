"""Literals in prompts' text: the longest one, over lines, and words that look like one."""

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax.evaluate.select.literals import parse_expression, read_literal

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda items: st.lists(items, max_size=4) | st.tuples(items, items),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, 2]  # since", [1, 2]),
        ("'a b' and more", "a b"),
        ("-0.5\nf(2)", -0.5),
        ("true", True),
        ("null.", None),
        ("16.\n    f(1)", 16.0),
        ("1 + 9 + 0 + 0 = 10", 10),
        ("19 - 5 - 6 = 8", 8),
        ("[1,\n   2]\nf(3)", [1, 2]),
        ('["a",\n     "b"]', ["a", "b"]),
        ("5 (five)", 5),
        ("5, since it is odd", 5),
        ("{'a': [1]} when", {"a": [1]}),
        ("(1, (2, 3))", (1, (2, 3))),
    ],
)
def test_the_longest_literal_is_read(text, value):
    literal, end = read_literal(text)
    assert literal == value
    assert type(literal) is type(value)
    assert text[:end].strip()


@pytest.mark.parametrize(
    "text", ["", "the sum", "x", "f(2) + 1", '""aaa"', "5th of May", "1 / 0", "a.b", "open('x')"]
)
def test_what_is_no_literal_is_refused(text):
    with pytest.raises(ValueError, match=r"no literal"):
        read_literal(text)


@hypothesis.given(PLAIN)
@hypothesis.settings(max_examples=60)
def test_every_literal_is_read_as_it_is_written(value):
    text = repr(value)
    assert read_literal(f"{text}\n") == (value, len(text))


@pytest.mark.parametrize("text", ["9**9**9**9", "[0] * 10**9", "'a' * 10**12"])
def test_what_takes_long_is_not_computed(text):
    with pytest.raises(ValueError, match="no literal"):
        read_literal(f"({text})")


def test_expressions_too_long_for_python_are_none():
    for text in ("+".join(["1"] * 3000), "*".join(["9" * 4000] * 3)):
        with pytest.raises(ValueError, match="characters"):
            parse_expression(text)
