"""Divisors of rotary frequencies: known answers and limits."""

import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.model.config import DecoderConfig
from codex_jax.model.rotary_scaling import rotary_divisors


def config(**fields):
    sizes = {"vocab_size": 70, "layers": 1, "width": 32, "heads": 2, "positions": "rotary"}
    return DecoderConfig(**sizes, rotary_factor=4.0, rotary_original_length=32, **fields)


def test_no_scaling_and_linear_scaling_are_constant():
    np.testing.assert_array_equal(rotary_divisors(config()), np.ones(8))
    np.testing.assert_array_equal(rotary_divisors(config(rotary_scaling="linear")), np.full(8, 4))


@pytest.mark.parametrize(("name", "fast"), [("yarn", 4.0), ("llama3", 4.0)])
def test_fast_frequencies_stay_and_slow_ones_are_divided(name, fast):
    divisors = rotary_divisors(config(rotary_scaling=name, rotary_fast=fast))
    assert divisors[0] == 1
    assert divisors[-1] == 4
    assert (np.diff(divisors) >= 0).all()


def test_scaling_without_an_original_length_is_refused():
    with pytest.raises(InputError, match="rotary_original_length is 0; expected the length"):
        DecoderConfig(vocab_size=70, layers=1, width=32, heads=2, rotary_scaling="yarn")
