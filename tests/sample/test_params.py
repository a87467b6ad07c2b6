import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from codex_jax import InputError
from codex_jax.sample.sampling.params import MAX_BIASED_TOKENS, SamplingParams, empty_adjustments


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1.0}, {"top_p": 1.5}, {"top_p": 0.0}, {"min_p": 2.0}, {"top_k": -1}]
)
def test_bad_params_are_refused_by_name(wrong):
    with pytest.raises(InputError, match=rf"SamplingParams\.{next(iter(wrong))} is"):
        SamplingParams(**wrong)


def test_too_many_biases_are_refused():
    with pytest.raises(InputError, match="logit_bias has 301 tokens; expected at most 300"):
        SamplingParams(logit_bias=dict.fromkeys(range(MAX_BIASED_TOKENS + 1), 1.0))


@settings(max_examples=50)
@hypothesis.given(
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 100),
            "top_p": st.floats(0, 1, exclude_min=True),
            "presence_penalty": st.floats(-2, 2),
            "frequency_penalty": st.floats(-2, 2),
            "logit_bias": st.dictionaries(st.integers(0, 9), st.floats(-100, 100), min_size=1),
        },
    )
)
def test_whatever_is_in_range_is_accepted_and_adjusts_if_it_changes_logits(fields):
    params = SamplingParams(**fields)
    assert dataclasses.replace(params) == params
    adjusting = ("presence_penalty", "frequency_penalty", "logit_bias")
    assert params.has_adjustments == any(fields.get(name) for name in adjusting)


def test_empty_adjustments_bias_no_token_of_the_vocabulary():
    adjustments = empty_adjustments(3, 64)
    assert adjustments.token.shape == (3, MAX_BIASED_TOKENS)
    assert (adjustments.token == 64).all()
    assert not any(np.any(array) for array in (adjustments.presence, adjustments.bias))
