"""The `openai` client, unchanged, against our server: every documented feature of completions."""

import asyncio

import pytest

from tests.sample.server import run_server

openai = pytest.importorskip("openai", reason="the openai client is not installed")


@pytest.fixture(scope="module")
def server():
    with run_server(keys=["sesame"]) as test_server:
        yield test_server


@pytest.fixture
def client(server):
    with openai.OpenAI(**client_options(server)) as openai_client:
        yield openai_client


def client_options(server, key="sesame"):
    url = f"http://127.0.0.1:{server.port}/v1"
    return {"base_url": url, "api_key": key, "max_retries": 0, "timeout": 60}


GREEDY = {"model": "counts", "temperature": 0}


def test_models(client):
    assert [model.id for model in client.models.list()] == ["counts"]
    assert client.models.retrieve("counts").owned_by == "codex_jax"


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [("3", ["45"]), (["3", "6"], ["45", "78"]), ([51], ["45"]), ([[51], [54]], ["45", "78"])],
    ids=str,
)
def test_prompts(client, prompt, texts):
    completion = client.completions.create(prompt=prompt, max_tokens=2, **GREEDY)
    assert [choice.text for choice in completion.choices] == texts
    assert completion.usage.total_tokens == 3 * len(texts)
    assert completion.object == "text_completion"
    assert completion.system_fingerprint
    assert completion._request_id == completion.id


def test_every_parameter_at_once(client):
    completion = client.completions.create(
        model="counts",
        prompt="0",
        n=2,
        best_of=4,
        max_tokens=6,
        temperature=1.5,
        top_p=0.9,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        logit_bias={"49": 1},
        logprobs=3,
        echo=True,
        stop=["9", "?"],
        seed=11,
        user="me",
    )
    assert [choice.index for choice in completion.choices] == [0, 1]
    for choice in completion.choices:
        parts = choice.logprobs
        assert "".join(parts.tokens) == choice.text
        assert choice.text[0] == "0"
        assert parts.text_offset == list(range(len(choice.text)))
        assert parts.token_logprobs[0] is None
        assert parts.top_logprobs[0] is None
        assert all(3 <= len(top) <= 4 for top in parts.top_logprobs[1:])


def test_a_stream_and_its_usage(client):
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(
        client.completions.create(
            prompt="0", max_tokens=9, logprobs=1, stop="78", **options, **GREEDY
        )
    )
    *pieces, last = chunks
    assert "".join(piece.choices[0].text for piece in pieces) == "123456"
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert last.choices == []
    assert last.usage.prompt_tokens == 1


def test_many_at_once(server):
    async def ask():
        async with openai.AsyncOpenAI(**client_options(server)) as client:
            requests = [
                client.completions.create(prompt=str(n), max_tokens=2, **GREEDY) for n in range(8)
            ]
            return [completion.choices[0].text for completion in await asyncio.gather(*requests)]

    assert asyncio.run(ask()) == [f"{chr(49 + n)}{chr(50 + n)}" for n in range(8)]


def test_refusals_have_their_own_errors(client, server):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(prompt="0", extra_body={"top_k": 4}, **GREEDY)
    assert caught.value.param == "top_k"
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(prompt="0", suffix="9", **GREEDY)
    assert caught.value.param == "suffix"
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="other", prompt="0")
    assert caught.value.code == "model_not_found"
    with (
        openai.OpenAI(**client_options(server, "wrong")) as other_client,
        pytest.raises(openai.AuthenticationError),
    ):
        other_client.models.list()
