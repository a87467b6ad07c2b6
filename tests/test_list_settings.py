"""Entries of settings that are lists."""

import pytest

from codex_jax import InputError
from codex_jax.list_settings import check_distinct, split_names


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("a", ("a",)), ("a,b", ("a", "b")), (" a , b", ("a", "b")), (["a", "b"], ("a", "b")),
        (("a,b", "c"), ("a,b", "c")), ("", ()), ((), ()),
    ],
)  # fmt: skip
def test_names_are_split_at_commas(value, names):
    assert split_names("modules", value) == names


@pytest.mark.parametrize("value", [",", "a,", ",a", "a,,b", " ", ["a", ""], [""], ["a", " "]])
def test_an_empty_entry_is_refused(value):
    with pytest.raises(InputError, match=r"modules is .*, which has an empty entry; set"):
        split_names("modules", value)


@pytest.mark.parametrize("values", [(4, 4), (0.2, 0.20), (1, 2, 1.0), ("a", "b", "b")])
def test_a_repeat_is_refused(values):
    with pytest.raises(InputError, match=r"step has .* twice; set it to distinct entries"):
        check_distinct(seed=(1, 2), step=values)


def test_distinct_entries_pass():
    check_distinct(step=(4, 5, 6), temperatures=(), ks=(4,))
