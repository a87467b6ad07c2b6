"""Requests of old and new clients: engines, several names, echo with a begin token, CORS."""

import pytest

from codex_jax.sample.engine.requests import fold_seed
from codex_jax.sample.sampling.text_ends import TextEnds
from tests.sample import models
from tests.sample.server import run_server

ORIGIN = "https://example.org"
BODY = {"prompt": "012", "max_tokens": 1, "temperature": 0}


@pytest.fixture(scope="module")
def server():
    options = {"aliases": ["other/name"], "fingerprint": "abc", "cors_origins": [ORIGIN]}
    with run_server(ends=TextEnds((models.EOS,), (models.EOS,)), **options) as test_server:
        yield test_server


@pytest.mark.parametrize("name", ["counts", "other/name"])
def test_engines_as_in_openai_0_28(server, name):
    status, answer, _ = server.send("POST", f"/v1/engines/{name}/completions", BODY)
    assert (status, answer["model"], answer["choices"][0]["text"]) == (200, name, "3")
    assert answer["system_fingerprint"] == "fp_abc"
    assert server.send("GET", f"/v1/engines/{name}")[1]["id"] == name
    assert server.complete(**BODY | {"model": name})["model"] == name


def test_lists_have_every_name_and_others_are_refused(server):
    for path in ("/v1/engines", "/v1/models"):
        names = [row["id"] for row in server.send("GET", path)[1]["data"]]
        assert names == ["counts", "other/name"]
    assert server.send("POST", "/v1/engines/none/completions", BODY)[0] == 404
    body = BODY | {"model": "counts"}
    assert server.send("POST", "/v1/engines/other/name/completions", body)[0] == 400
    assert server.send("GET", "/health")[0] == 200


@pytest.mark.parametrize("prompt", ["012", [48, 49, 50]], ids=str)
def test_echo_is_the_prompt_that_was_sent(server, prompt):
    choice = server.complete(**BODY | {"prompt": prompt, "echo": True, "logprobs": 1})["choices"][0]
    assert choice["text"] == "0123"
    logprobs = choice["logprobs"]
    assert logprobs["tokens"] == ["0", "1", "2", "3"]
    assert logprobs["text_offset"] == [0, 1, 2, 3]
    assert logprobs["token_logprobs"][0] is None
    assert all(value > -1e-3 for value in logprobs["token_logprobs"][1:])
    assert (
        server.complete(**BODY | {"prompt": prompt, "echo": True})["choices"][0]["text"] == "0123"
    )


def test_echo_of_an_empty_prompt_is_empty(server):
    body = BODY | {"prompt": "", "echo": True, "logprobs": 1, "max_tokens": 0}
    choice = server.complete(**body)["choices"][0]
    assert choice["text"] == ""
    assert choice["logprobs"]["tokens"] == []


def test_pages_of_the_named_origin_alone_are_let_in(server):
    def allowed(origin):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = server.send("OPTIONS", "/v1/completions", None, headers)
        return answer[2].get("access-control-allow-origin")

    assert allowed(ORIGIN) == ORIGIN
    assert allowed("https://other.org") is None


def test_seeds_of_64_bits_differ_in_every_bit(server):
    seeds = [5, 5 + (1 << 32), 5 + (1 << 63), -5, (1 << 64) - 1]
    assert fold_seed(5) == 5
    assert len({fold_seed(seed) for seed in seeds}) == len(seeds)
    for seed in seeds:
        server.complete(**BODY | {"seed": seed})
    assert "seed" in server.refuse(seed=1 << 64, **BODY)["message"]
