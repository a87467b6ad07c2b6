import hypothesis
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from codex_jax import InputError
from codex_jax.sample.serve.completion_request import ServerLimits, parse_request
from codex_jax.sample.serve.errors import ApiError
from tests.sample import models
from tests.sample.server import ByteTokenizer

LIMITS = ServerLimits(max_prompt_tokens=64, max_new_tokens=32, max_context=80)


def parse(limits=LIMITS, **body):
    return parse_request(
        {"model": "m", **body}, ByteTokenizer(), 64, limits, begin_ids=[models.EOS]
    )


def test_a_request_for_each_prompt():
    request = parse(prompt=["1", "23"], n=2, max_tokens=5, logprobs=1, echo=True, seed=3)
    first, second = request.engine_requests("id")
    assert (first.id, second.id) == ("id/0", "id/1")
    assert list(second.tokens) == [63, *b"23"]  # after end of text
    assert (list(first.samples), first.seed, first.max_new_tokens) == ([0, 1], 3, 5)
    assert first.echo
    assert first.want_top_logprobs
    assert request.prompt_characters == [1, 2]


def test_no_new_tokens_no_samples():
    (request,) = parse(prompt=[5], max_tokens=0, echo=True).engine_requests("id")
    assert (list(request.samples), list(request.tokens)) == ([], [5])


@settings(max_examples=50)
@hypothesis.given(st.integers(2, 5000), st.none() | st.integers(2, 5000))
def test_clamped_limits_never_exceed_the_model(max_length, max_context):
    limits = ServerLimits(max_context=max_context).clamped_to(max_length)
    assert limits.max_context == min(max_context or max_length, max_length)
    assert 1 <= limits.max_prompt_tokens < limits.max_context
    assert 1 <= limits.max_new_tokens < limits.max_context
    assert limits.clamped_to(max_length) == limits


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"prompt": [64]}, "prompt", "prompt: token 64; expected 0 to 63"),
        ({"prompt": [-1]}, "prompt", "prompt: token -1; expected 0 to 63"),
        ({"prompt": "1", "logit_bias": {"64": 1}}, "logit_bias", "logit_bias: token 64; expected"),
        ({"prompt": "1", "n": 129}, "n", "129 samples a prompt; this server allows 128"),
        ({"prompt": ["1"] * 65}, "prompt", "prompt: 65 prompts; this server allows 64"),
        ({"prompt": "1" * 64, "max_tokens": 32}, "prompt", "This model's maximum context length"),
        ({"prompt": "1", "max_tokens": 33}, "max_tokens", "This model's maximum context length"),
        ({"prompt": "1", "suffix": "2"}, "suffix", "suffix: this model can't infill"),
    ],
)
def test_errors_name_the_field(body, param, message):
    with pytest.raises(ApiError) as error:
        parse(**body)
    assert (error.value.status, error.value.param) == (400, param)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_prompt_tokens": -5}, "ServerLimits.max_prompt_tokens is -5"),
        ({"max_new_tokens": 0}, "ServerLimits.max_new_tokens is 0"),
        ({"max_context": 1}, "ServerLimits.max_context is 1"),
        ({"max_requests": 0}, "ServerLimits.max_requests is 0"),
        ({"max_body_bytes": 0}, "ServerLimits.max_body_bytes is 0"),
        ({"max_client_seconds": 0.0}, "ServerLimits.max_client_seconds is 0.0"),
    ],
)
def test_limits_that_admit_nothing_are_refused(limits, message):
    with pytest.raises(InputError, match=message):
        ServerLimits(**limits)
