"""Ranges: which numbers are in them, and the line that refuses the others."""

import math

import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.ranges import check, integer, real, workers


@pytest.mark.parametrize("value", [0, 5, np.int64(3), 2**31 - 1])
def test_whole_numbers(value):
    assert value in integer(0)


@pytest.mark.parametrize(
    "value", [-1, 2**31, 10**30, 0.0, 5.0, math.nan, math.inf, "3", None, True, [3], 1 + 0j]
)
def test_what_is_no_whole_number_of_zero_or_more(value):
    assert value not in integer(0)


@pytest.mark.parametrize("value", [-1, 1025, True, 1.0, 10**30, "2", None])
def test_workers_are_0_to_1024(value):
    assert value not in workers()
    assert {0, 1, 1024} <= {n for n in range(2000) if n in workers()}
    assert None in workers(is_optional=True)


@pytest.mark.parametrize("value", [0, 0.5, 1, np.float32(0.25), np.int32(1), 1e-300])
def test_fractions(value):
    assert value in real(0, 1)


@pytest.mark.parametrize("value", [-1e-9, 1.0001, math.nan, math.inf, -math.inf, "0.5", None, True])
def test_what_is_no_fraction(value):
    assert value not in real(0, 1)


def test_excluded_ends_and_none():
    assert 0 not in real(0, excludes_low=True)
    assert 1 not in real(0, 1, excludes_high=True)
    assert None in integer(1, is_optional=True)
    assert 1e39 not in real(0)  # infinite as a float32
    assert 1e-300 not in real(0, excludes_low=True)  # 0 as a float32
    assert 1e-30 in real(0, excludes_low=True)


@pytest.mark.parametrize(
    ("allowed", "text"),
    [
        (integer(1), "a whole number, 1 or more and at most 2147483647"),
        (integer(0, 2**32 - 1), "a whole number, 0 or more and at most 4294967295"),
        (real(0, excludes_low=True), "a number, above 0"),
        (real(0, 1, excludes_high=True), "a number, 0 or more and below 1"),
        (integer(1, 9, is_optional=True), "a whole number, 1 or more and at most 9, or None"),
    ],
)
def test_a_range_in_words(allowed, text):
    with pytest.raises(InputError) as caught:
        check("Owner", {"size": "x" * 100}, {"size": allowed})
    message = str(caught.value)
    assert message.startswith("Owner.size is 'xxx")
    assert message.endswith(f"; set it to {text}")
    assert len(message) < 150
