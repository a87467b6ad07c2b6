"""The completions server over HTTP: the API's fields and its errors."""

import json
import time

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from codex_jax.sample.engine.requests import Sample
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.sample.serve import completion_request
from codex_jax.sample.serve.choices import ChoiceBuilder, token_string
from codex_jax.tokenizer import SPECIALS, Tokenizer
from tests.sample.server import ByteTokenizer, run_server


@pytest.fixture(scope="module")
def server():
    with run_server() as test_server:
        yield test_server


def test_a_completion_has_every_part(server):
    answer = server.complete(prompt="0", max_tokens=5, temperature=0)
    assert answer["object"] == "text_completion"
    assert answer["id"].startswith("cmpl-")
    assert answer["model"] == "counts"
    assert answer["system_fingerprint"].startswith("fp_")
    assert abs(answer["created"] - time.time()) < 60
    choice = {"text": "12345", "index": 0, "logprobs": None, "finish_reason": "length"}
    assert answer["choices"] == [choice]
    assert answer["usage"] == {"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6}


def test_sixteen_tokens_by_default_and_end_of_text_ends(server):
    answer = server.complete(prompt="*", temperature=0)
    assert answer["choices"][0]["text"] == "+,-./0123456789:"
    answer = server.complete(prompt="9", temperature=0, max_tokens=20)
    assert answer["choices"][0]["text"] == ":;<=>"
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("3", ["45"]),
        (["3", "6"], ["45", "78"]),
        ([51], ["45"]),
        ([[51], [54]], ["45", "78"]),
        (None, [""]),
        ("", [""]),
    ],
    ids=str,
)
def test_prompts_of_every_form(server, prompt, texts):
    answer = server.complete(prompt=prompt, max_tokens=2, temperature=0)
    actual = [choice["text"] for choice in answer["choices"]]
    assert [choice["index"] for choice in answer["choices"]] == list(range(len(actual)))
    assert actual == texts or prompt in (None, "")


def test_n_choices_of_each_prompt_and_a_seed_repeats_them(server):
    body = {"prompt": ["1", "4"], "n": 3, "max_tokens": 4, "temperature": 2, "seed": -7}
    first, again = server.complete(**body), server.complete(**body)
    assert len(first["choices"]) == 6
    assert first["choices"] == again["choices"]
    assert first["usage"]["prompt_tokens"] == 2


def test_best_of_returns_the_likeliest_and_counts_all(server):
    body = {"prompt": "1", "max_tokens": 4, "temperature": 2, "seed": 5, "logprobs": 0}
    every = server.complete(n=6, **body)["choices"]
    answer = server.complete(n=2, best_of=6, **body)

    def mean(choice):
        logprobs = choice["logprobs"]["token_logprobs"]
        return sum(logprobs) / len(logprobs)

    ranked = sorted(every, key=mean, reverse=True)
    assert [c["text"] for c in answer["choices"]] == [c["text"] for c in ranked[:2]]
    assert [c["index"] for c in answer["choices"]] == [0, 1]
    assert answer["usage"]["completion_tokens"] == 24


@pytest.mark.parametrize("stop", ["5", ["9", "45"], ["x", "567", "45"]], ids=str)
@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_ends_and_is_left_out(server, stop, stream):
    body = {"prompt": "0", "max_tokens": 20, "temperature": 0, "stop": stop, "logprobs": 1}
    if stream:
        choices = [chunk["choices"][0] for chunk in server.stream(**body)]
    else:
        choices = server.complete(**body)["choices"]
    text = "".join(choice["text"] for choice in choices)
    assert text == {"5": "1234"}.get(stop if isinstance(stop, str) else "", "123")
    assert choices[-1]["finish_reason"] == "stop"
    assert "".join(t for c in choices for t in c["logprobs"]["tokens"]) == text


def test_logprobs_have_tokens_and_offsets(server):
    body = {"prompt": "0", "max_tokens": 3, "temperature": 0}
    logprobs = server.complete(logprobs=2, **body)["choices"][0]["logprobs"]
    assert logprobs["tokens"] == ["1", "2", "3"]
    assert logprobs["text_offset"] == [1, 2, 3]
    assert all(-1e-3 < logprob <= 0 for logprob in logprobs["token_logprobs"])
    assert all(
        len(top) == 2 and max(top, key=top.get) == token
        for top, token in zip(logprobs["top_logprobs"], logprobs["tokens"], strict=True)
    )
    alone = server.complete(logprobs=0, **body)["choices"][0]["logprobs"]
    assert [list(top) for top in alone["top_logprobs"]] == [["1"], ["2"], ["3"]]


def test_echo_scores_the_prompt_too(server):
    body = {"prompt": "012", "echo": True, "temperature": 0}
    response = server.complete(max_tokens=2, logprobs=1, **body)["choices"][0]
    assert response["text"] == "01234"
    assert response["logprobs"]["tokens"] == list("01234")
    assert response["logprobs"]["text_offset"] == [0, 1, 2, 3, 4]
    assert response["logprobs"]["token_logprobs"][0] is None
    assert response["logprobs"]["top_logprobs"][0] is None
    assert all(logprob > -1e-3 for logprob in response["logprobs"]["token_logprobs"][1:])
    scored = server.complete(max_tokens=0, logprobs=1, **body)
    assert scored["choices"][0]["text"] == "012"
    assert len(scored["choices"][0]["logprobs"]["tokens"]) == 3
    assert scored["usage"]["completion_tokens"] == 0
    assert server.complete(max_tokens=0, **body)["choices"][0]["text"] == "012"
    assert server.complete(max_tokens=0, prompt="0")["choices"][0]["text"] == ""


def test_a_stream_is_the_response_in_pieces(server):
    body = {"prompt": ["0", "3"], "n": 2, "max_tokens": 12, "temperature": 1.5, "seed": 3}
    body |= {"logprobs": 2, "echo": True}
    response = server.complete(**body)
    chunks = server.stream(stream_options={"include_usage": True}, **body)
    *chunks, last = chunks
    assert last["choices"] == []
    assert last["usage"] == response["usage"]
    assert all(chunk["usage"] is None for chunk in chunks)
    for choice in response["choices"]:
        own = [c for chunk in chunks for c in chunk["choices"] if c["index"] == choice["index"]]
        assert "".join(c["text"] for c in own) == choice["text"]
        assert [c["finish_reason"] for c in own[:-1]] == [None] * (len(own) - 1)
        assert own[-1]["finish_reason"] == choice["finish_reason"]
        for name, values in choice["logprobs"].items():
            assert [v for c in own if c["logprobs"] for v in c["logprobs"][name]] == values


def test_bias_and_penalties_reach_the_sampling_params():
    body = {"model": "counts", "prompt": "0", "logit_bias": {"49": -100}, "top_p": 0.5}
    body |= {"presence_penalty": -2, "frequency_penalty": 1.5, "temperature": 0.25}
    limits = completion_request.ServerLimits(max_prompt_tokens=9, max_new_tokens=16, max_context=40)
    request = completion_request.parse_request(body, ByteTokenizer(), 64, limits, begin_ids=[])
    assert request.sampling_params == SamplingParams(
        temperature=0.25,
        top_p=0.5,
        presence_penalty=-2.0,
        frequency_penalty=1.5,
        logit_bias={49: -100.0},
    )


def test_a_suffix_requests_infilling():
    bpe = Tokenizer.train(["def f(x):"] * 3, vocab_size=400)
    body = {"model": "counts", "prompt": ["a", ""], "suffix": "b"}
    limits = completion_request.ServerLimits(max_prompt_tokens=9, max_new_tokens=16, max_context=40)
    request = completion_request.parse_request(body, bpe, bpe.vocab_size, limits, begin_ids=[])
    before, between, after = map(bpe.special_id, SPECIALS[1:])
    end = [after, *bpe.encode("b"), between]
    assert request.prompts == [[before, *bpe.encode("a"), *end], [before, *end]]


REFUSED = [
    ({"prompt": "0", "tempreature": 1}, "tempreature"),
    ({"prompt": "0", "max_tokens": "5"}, "max_tokens"),
    ({"prompt": "0", "max_tokens": True}, "max_tokens"),
    ({"prompt": "0", "max_tokens": 33}, "max_tokens"),
    ({"prompt": "0" * 65}, "prompt"),
    ({"prompt": "0" * 60, "max_tokens": 32}, "prompt"),
    ({"prompt": []}, "prompt"),
    ({"prompt": [[]]}, "prompt"),
    ({"prompt": ["0", 1]}, "prompt"),
    ({"prompt": {"a": 1}}, "prompt"),
    ({"prompt": [64]}, "prompt"),
    ({"prompt": [-1]}, "prompt"),
    ({"prompt": ["0"] * 5}, "prompt"),
    ({"prompt": "\ud800"}, "prompt"),
    ({"prompt": "0", "temperature": 2.1}, "temperature"),
    ({"prompt": "0", "top_p": -0.1}, "top_p"),
    ({"prompt": "0", "n": 0}, "n"),
    ({"prompt": "0", "n": 9}, "n"),
    ({"prompt": "0", "n": 3, "best_of": 2}, "best_of"),
    ({"prompt": "0", "best_of": 2, "stream": True}, "stream"),
    ({"prompt": "0", "stream": "yes"}, "stream"),
    ({"prompt": "0", "stream_options": {"include_usage": True}}, "stream_options"),
    ({"prompt": "0", "stream": True, "stream_options": {"x": True}}, "stream_options"),
    ({"prompt": "0", "logprobs": 6}, "logprobs"),
    ({"prompt": "0", "stop": ["1"] * 17}, "stop"),
    ({"prompt": "0", "stop": [""]}, "stop"),
    ({"prompt": "0", "stop": False}, "stop"),
    ({"prompt": "0", "stop": {}}, "stop"),
    ({"prompt": "0", "presence_penalty": 3}, "presence_penalty"),
    ({"prompt": "0", "logit_bias": {"x": 1}}, "logit_bias"),
    ({"prompt": "0", "logit_bias": {"64": 1}}, "logit_bias"),
    ({"prompt": "0", "logit_bias": {"1": 101}}, "logit_bias"),
    ({"prompt": "0", "logit_bias": {"0000000000005": 1}}, "logit_bias"),
    ({"prompt": "0", "logit_bias": {"1": 10**400}}, "logit_bias"),
    ({"prompt": "0", "temperature": 10**400}, "temperature"),
    ({"prompt": "0", "seed": 1.5}, "seed"),
    ({"prompt": "0", "suffix": "1"}, "suffix"),
    ({"prompt": [1], "suffix": "1"}, "suffix"),
    ({"prompt": "0", "suffix": "1", "echo": True}, "echo"),
    ({"prompt": "0", "user": 7}, "user"),
    ({"prompt": "0", "model": None}, "model"),
]


@pytest.mark.parametrize(("body", "param"), REFUSED, ids=str)
def test_what_is_wrong_is_named(server, body, param):
    error = server.refuse(**body)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert "\n" not in error["message"]


def test_unknown_models_paths_and_methods(server):
    error = server.refuse(404, prompt="0", model="gpt-4")
    assert error["code"] == "model_not_found"
    for method, path, status in [
        ("GET", "/v1/completions", 405),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/v1/chat/completions", 405),
        ("GET", "/v1/models/other", 404),
    ]:
        actual, answer, _ = server.send(method, path)
        assert actual == status
        assert set(answer["error"]) == {"message", "type", "param", "code"}


def test_models_health_metrics_and_the_page(server):
    assert server.send("GET", "/v1/models")[1]["data"][0]["id"] == "counts"
    assert server.send("GET", "/v1/models/counts")[1]["object"] == "model"
    assert server.send("GET", "/healthz")[:2] == (200, {"status": "ok"})
    assert "playground" in server.send("GET", "/")[1]
    server.complete(prompt="0", max_tokens=2)
    status, text, _ = server.send("GET", "/metrics")
    assert status == 200
    for name in (
        "num_requests_running",
        "generation_tokens_total",
        "request_success_total",
        "e2e_request_latency_seconds_bucket",
    ):
        assert f"vllm:{name}" in text


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
fields = st.sampled_from([*{name for body, _ in REFUSED for name in body}, "echo"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@hypothesis.given(st.dictionaries(fields, values, max_size=5) | values)
def test_any_body_is_answered_or_refused(server, body):
    content = json.dumps(body).encode()
    status, answer, _ = server.send("POST", "/v1/completions", content)
    assert status in (200, 400, 404), answer


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 5000, b'{"n": NaN}', b"1" * 5000, "{}".encode("utf-16")]
)
def test_what_is_not_json_is_refused(server, content):
    assert server.send("POST", "/v1/completions", content)[0] == 400


def test_tokens_that_are_no_characters_are_named_by_bytes():
    assert token_string("é".encode()) == "é"
    assert token_string(b"\xc3") == "bytes:\\xc3"


@pytest.mark.parametrize(
    "content",
    [
        b'{"model": "counts", "prompt": "1", "max_tokens": 1, "max_tokens": 2}',
        b'{"model": "counts", "prompt": "1", "logit_bias": {"5": 1, "5": -1}}',
        b'{"model": "counts", "prompt": "1", "\\ud800": 1, "\\ud800": 2}',
    ],
)
def test_a_name_that_occurs_twice_is_refused(server, content):
    status, answer, _ = server.send("POST", "/v1/completions", content)
    assert status == 400
    assert "occurs twice in an object" in answer["error"]["message"]


@pytest.mark.parametrize("field", ["model", "\ud800"])
def test_half_a_surrogate_pair_is_refused_in_text(server, field):
    body = {"model": "counts", "prompt": "0", field: "\ud800"}
    status, answer, _ = server.send("POST", "/v1/completions", body)
    assert status in (400, 404)
    assert "\\ud800" in answer["error"]["message"]


def test_a_character_split_over_tokens_is_emitted_in_one_piece():
    token_bytes = [b"a", b"\xc3", b"\xa9", b"b"]
    builder = ChoiceBuilder(token_bytes.__getitem__, eos_ids=[9], stops=(), top_logprobs=0)
    pieces = []
    for token in range(4):
        reason = "length" if token == 3 else ""
        pieces.append(builder.add(Sample("x", 0, np.array([token]), np.zeros(1), reason)))
    assert [text for text, _ in pieces] == ["a", "", "é", "b"]
    names = [name for _, logprobs in pieces for name in logprobs["tokens"]]
    assert names == ["a", "bytes:\\xc3", "bytes:\\xa9", "b"]
    assert [at for _, logprobs in pieces for at in logprobs["text_offset"]] == [0, 1, 1, 2]
