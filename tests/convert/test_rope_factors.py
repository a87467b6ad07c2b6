import dataclasses

import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.convert.positions import read_scaling
from codex_jax.convert.rope_factors import read_factors
from codex_jax.model.config import DecoderConfig
from codex_jax.model.rotary_scaling import rotary_divisors


def config(size, base, **fields):
    shape = {"vocab_size": 1, "layers": 1, "width": size, "heads": 1, "max_length": 9}
    return DecoderConfig(**shape, positions="rotary", rotary_base=base, **fields)


@pytest.mark.parametrize(
    ("size", "base", "factor", "length", "fast"),
    [
        (128, 500_000.0, 8.0, 8192, 4.0),  # Llama 3.1
        (64, 500_000.0, 32.0, 8192, 4.0),  # Llama 3.2 1B
        (64, 10_000.0, 4.0, 2048, 8.0),
        (16, 10_000.0, 8.0, 16, 4.0),
        (8, 500_000.0, 8.0, 64, 4.0),
    ],
)
def test_factors_give_the_scaling_that_made_them(size, base, factor, length, fast):
    fields = {"rotary_factor": factor, "rotary_original_length": length, "rotary_fast": fast}
    original = config(size, base, rotary_scaling="llama3", **fields)
    divisors = rotary_divisors(original)
    scaling = read_factors(divisors.astype("f"), base)
    again = dataclasses.replace(config(size, base), **read_scaling(scaling, 9))
    np.testing.assert_allclose(rotary_divisors(again), divisors, rtol=1e-4)
    if size > 16:
        assert scaling["original_max_position_embeddings"] == length
        assert scaling["high_freq_factor"] == pytest.approx(fast)


def test_ones_scale_nothing():
    assert read_factors(np.ones(32, "f"), 10_000.0) == {}


@pytest.mark.parametrize("factors", [np.linspace(1, 8, 32), np.r_[np.ones(31), 0.5], [8.0, 1, 1]])
def test_other_factors_are_refused(factors):
    with pytest.raises(InputError, match=r"rope_freqs\.weight has factors"):
        read_factors(np.asarray(factors), 10_000.0)
