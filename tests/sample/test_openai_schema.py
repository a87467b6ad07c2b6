import math

import hypothesis
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from codex_jax.sample import openai_schema
from codex_jax.sample.sampling.params import SamplingParams

DEFAULT = SamplingParams(temperature=0.5, top_k=7)


def test_absent_and_null_fields_are_none():
    fields = openai_schema.parse_body({"prompt": "x", "n": None, "stop": "a", "temperature": 1})
    assert fields.keys() == openai_schema.FIELDS.keys()
    assert (fields["prompt"], fields["stop"], fields["temperature"]) == ("x", ("a",), 1.0)
    assert fields["n"] is None


def test_zero_temperature_or_top_p_is_greedy():
    for body in ({"temperature": 0}, {"top_p": 0}):
        params = openai_schema.sampling_params(openai_schema.parse_body(body), DEFAULT)
        assert (params.temperature, params.top_k, params.top_p > 0) == (0.0, 7, True)
    assert openai_schema.sampling_params(openai_schema.parse_body({}), DEFAULT) is DEFAULT


values = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "x", "9"])


@settings(max_examples=50)
@hypothesis.given(
    st.dictionaries(st.sampled_from(sorted(openai_schema.FIELDS)), values, max_size=5)
)
def test_a_body_is_refused_by_a_field_of_its_own_or_makes_valid_params(body):
    refusal = None
    try:
        fields = openai_schema.parse_body(body)
    except openai_schema.FieldError as error:
        refusal = error
    if refusal:
        assert refusal.param in body
        assert "\n" not in str(refusal)
    else:
        params = openai_schema.sampling_params(fields, DEFAULT)
        assert not math.isnan(params.temperature)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "expected a JSON object, found a list"),
        ({"top_k": 3}, "Unrecognized request argument supplied: top_k"),
        ({"n": True}, "n: expected an integer from 1 to 1048576, found True"),
        ({"stop": [""]}, "stop: expected a string or a list of strings, none of them empty"),
        ({"prompt": "\ud800"}, "prompt: a lone surrogate can't be encoded"),
        ({"prompt": []}, "prompt: an empty list has no prompt"),
        ({"logit_bias": {"-1": 1}}, "logit_bias: expected token ids as keys, found '-1'"),
        ({"logit_bias": {"05": 1}}, "logit_bias: expected token ids as keys, found '05'"),
        ({"logit_bias": {"٥": 1}}, "logit_bias: expected token ids as keys, found '٥'"),
        ({"best_of": 3, "stream": True}, "best_of can't be streamed"),
    ],
)
def test_errors_name_the_field_and_the_expectation(body, message):
    with pytest.raises(openai_schema.FieldError) as error:
        openai_schema.parse_body(body)
    assert str(error.value).startswith(message)
