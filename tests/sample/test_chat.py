"""/v1/chat/completions over the counting model, whose template joins the messages."""

import json

import pytest

from tests.sample.server import run_server

TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
BODY = {"model": "counts", "temperature": 0}


@pytest.fixture(scope="module")
def server():
    with run_server(settings={"chat_template": TEMPLATE}) as test_server:
        yield test_server


def ask(server, *texts, status=200, **fields):
    body = BODY | {"messages": [{"role": "user", "content": text} for text in texts]} | fields
    actual, answer, _ = server.send("POST", "/v1/chat/completions", body)
    assert actual == status, answer
    return answer


def test_the_answer_follows_the_messages(server):
    answer = ask(server, "0", "12", max_tokens=3)
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    (choice,) = answer["choices"]
    assert choice["message"]["content"] == "345"
    assert choice["finish_reason"] == "length"
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


def test_without_a_limit_it_ends_at_the_end_of_the_turn(server):
    choice = ask(server, "0")["choices"][0]
    assert choice["message"]["content"] == "123456789:;<=>"  # "?" ends a text
    assert choice["finish_reason"] == "stop"
    assert ask(server, "0", stop="5")["choices"][0]["message"]["content"] == "1234"


def test_a_stream_begins_with_the_role_and_ends_with_usage(server):
    body = BODY | {"messages": [{"role": "user", "content": "0"}], "n": 2, "stream": True}
    body |= {"stream_options": {"include_usage": True}, "logprobs": True, "top_logprobs": 1}
    status, text, headers = server.send("POST", "/v1/chat/completions", body)
    assert (status, headers["content-type"][:17]) == (200, "text/event-stream")
    *events, done = text.removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    *chunks, last = [json.loads(event.removeprefix("data: ")) for event in events]
    assert last["usage"]["completion_tokens"] == 2 * 15
    for index in (0, 1):
        parts = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == index]
        assert parts[0]["delta"]["role"] == "assistant"
        assert "".join(part["delta"].get("content", "") for part in parts) == "123456789:;<=>"
        tokens = [row["token"] for part in parts for row in part["logprobs"]["content"]]
        assert "".join(tokens) == "123456789:;<=>"
        assert parts[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"tools": [{}]}, "tools"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 33}, "max_tokens"),
        ({"messages": [{"role": "user", "content": "1" * 65}]}, "prompt"),
    ],
    ids=str,
)
def test_refusals_name_the_field(server, fields, param):
    assert ask(server, "0", status=400, **fields)["error"]["param"] == param


def test_another_model_is_not_found(server):
    assert ask(server, "0", status=404, model="x")["error"]["code"] == "model_not_found"


def test_a_model_without_a_template_says_so(server, monkeypatch):
    monkeypatch.setattr(server.service.chat_template, "_source", "")
    error = ask(server, "0", status=400)["error"]
    assert error["message"] == "this model has no chat template; use /v1/completions"
