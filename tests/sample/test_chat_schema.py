"""Bodies of chat requests, to completions and back."""

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax.sample.chat_schema import (
    parse_chat,
    to_chat,
    to_chat_chunk,
    to_completion_body,
)
from codex_jax.sample.openai_schema import FieldError, parse_body

USER = {"role": "user", "content": "hi"}


def parse(**body):
    return parse_chat({"model": "m", "messages": [USER], **body})


def test_a_completions_body_with_the_same_settings():
    fields = parse(
        temperature=0.5, stop="x", n=2, seed=3, logit_bias={"5": 1}, logprobs=True, top_logprobs=2
    )
    body = to_completion_body(fields, [1, 2], 9)
    assert body["prompt"] == [1, 2]
    assert (body["max_tokens"], body["logprobs"], body["stop"]) == (9, 2, ["x"])
    checked = parse_body(body)
    assert (checked["n"], checked["seed"], checked["logit_bias"]) == (2, 3, {5: 1.0})


@pytest.mark.parametrize(
    ("body", "new", "logprobs"),
    [
        ({}, 7, None),
        ({"max_tokens": 3}, 3, None),
        ({"max_completion_tokens": 4, "logprobs": True}, 4, 0),
        ({"logprobs": False}, 7, None),
    ],
)
def test_new_tokens_and_logprobs(body, new, logprobs):
    completion = to_completion_body(parse(**body), [1], 7)
    assert (completion["max_tokens"], completion["logprobs"]) == (new, logprobs)


def test_texts_may_come_in_parts_and_harmless_fields_at_their_defaults():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    fields = parse(
        messages=[{"role": "system", "content": parts, "name": None}],
        tools=[],
        store=False,
        response_format={"type": "text"},
        service_tier="auto",
        parallel_tool_calls=True,
    )
    assert fields["messages"] == [{"role": "system", "content": "ab"}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": None}, "expected a list of messages"),
        ({"messages": []}, "not empty"),
        ({"messages": ["hi"]}, r"messages\[0\]: expected an object"),
        ({"messages": [USER | {"role": "tool"}]}, r"messages\[0\].role: expected one of system"),
        ({"messages": [USER | {"tool_calls": [1]}]}, "tool_calls isn't supported"),
        ({"messages": [{"role": "user"}]}, "expected a string or a list of texts"),
        ({"messages": [USER | {"content": [{"type": "image_url"}]}]}, "only parts of type text"),
        ({"messages": [USER | {"content": "\ud800"}]}, "a lone surrogate"),
        ({"tools": [{"type": "function"}]}, "tools: only"),
        ({"store": True}, "store: only False"),
        ({"store": 0}, "store: only False"),
        ({"response_format": {"type": "json_object"}}, "response_format: only"),
        ({"top_logprobs": 2}, "only allowed when logprobs"),
        ({"logprobs": True, "top_logprobs": 6}, "from 0 to 5"),
        ({"logprobs": 1}, "expected true or false"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "are the same"),
        ({"best_of": 2}, "Unrecognized request argument supplied: best_of"),
        ({"model": None}, "you must provide a model"),
    ],
)
def test_errors_name_the_field(body, message):
    with pytest.raises(FieldError, match=message):
        parse(**body)


def choice(text="hé", index=0, **fields):
    logprobs = {
        "tokens": ["h", "bytes:\\xc3", "bytes:\\xa9"],
        "token_logprobs": [-1.0, -2.0, -3.0],
        "top_logprobs": [{"i": -0.5, "h": -1.0}, {"bytes:\\xc3": -2.0}, {"x": -0.1, "y": -0.2}],
        "text_offset": [0, 1, 2],
    }
    fields = {"logprobs": logprobs, "finish_reason": "stop"} | fields
    return {"text": text, "index": index, **fields}


def test_a_response_has_messages_and_bytes():
    answer = to_chat({"id": "x", "object": "text_completion", "choices": [choice()]}, 1)
    (only,) = answer["choices"]
    assert (answer["object"], only["message"]["content"]) == ("chat.completion", "hé")
    first, second, third = only["logprobs"]["content"]
    assert (first["token"], first["bytes"], second["bytes"]) == ("h", [104], [0xC3])
    assert [top["token"] for top in first["top_logprobs"]] == ["i"]
    assert [top["logprob"] for top in second["top_logprobs"]] == [-2.0]
    assert [top["logprob"] for top in third["top_logprobs"]] == [-0.1]
    assert (
        to_chat({"choices": [choice()]})["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        == []
    )


@hypothesis.given(st.lists(st.integers(0, 3), max_size=12))
def test_each_choice_of_a_stream_has_its_role_once(indices):
    begun: set[int] = set()
    chunks = [
        to_chat_chunk({"choices": [choice(str(n), index, logprobs=None)]}, begun)
        for n, index in enumerate(indices)
    ]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert sum("role" in delta for delta in deltas) == len(set(indices))
    assert "".join(delta["content"] for delta in deltas) == "".join(map(str, range(len(indices))))
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)


def test_the_last_chunk_of_a_choice_has_no_content():
    last = choice("", logprobs=None)
    (delta,) = to_chat_chunk({"choices": [last]}, {0})["choices"]
    assert (delta["delta"], delta["finish_reason"]) == ({}, "stop")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"max_tokens": 0}, "max_tokens: expected 1 or more"),
        ({"max_completion_tokens": 0}, "max_completion_tokens: expected 1 or more"),
        (
            {"messages": [{"role": "user", "content": "a", "name": {"a": 1}}]},
            "name: expected a str",
        ),
    ],
)
def test_values_that_would_be_misread_are_refused(body, words):
    message = {"role": "user", "content": "a"}
    with pytest.raises(FieldError, match=words):
        parse_chat({"model": "m", "messages": [message]} | body)
