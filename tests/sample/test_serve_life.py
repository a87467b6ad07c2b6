"""The completions server's life: keys, limits, disconnects, metrics, failure, shutdown."""

import asyncio
import http.client
import json
import re
import socket
import threading
import time

import jax
import pytest

from codex_jax.sample.engine.requests import Request
from codex_jax.sample.serve import responses
from tests.sample.server import run_server


@pytest.fixture(scope="module")
def server():
    with run_server() as test_server:
        yield test_server


def assert_becomes_true(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


def test_every_response_has_an_id(server):
    body = {"model": "counts", "prompt": "0", "max_tokens": 1}
    requests = [
        ("POST", "/v1/completions", body | more) for more in ({}, {"stream": True}, {"n": 0})
    ]
    requests += [("GET", path, None) for path in ("/", "/healthz", "/v1/models", "/none")]
    names = [server.send(*each)[2]["x-request-id"] for each in requests]
    assert all(names)
    assert len(set(names)) == len(names)
    assert names[0].startswith("cmpl-")


def test_a_bug_is_a_500_with_an_id(server, monkeypatch):
    def fail(*_):
        raise ValueError("a bug")

    monkeypatch.setattr(server.service, "_check_model", fail)
    status, answer, headers = server.send("GET", "/v1/models/counts")
    assert (status, answer["error"]["message"]) == (500, "internal error")
    assert headers["x-request-id"]


def test_metrics_count_how_streams_ended(server):
    def count(how):
        text = server.send("GET", "/metrics")[1]
        match = re.search(rf'request_success_total{{finished_reason="{how}".*}} (\S+)', text)
        return float(match.group(1)) if match else 0.0

    before = {how: count(how) for how in ("stop", "length")}
    server.stream(prompt="0", max_tokens=3, temperature=0)
    server.stream(prompt="9", max_tokens=20, temperature=0)
    server.stream(prompt="0", max_tokens=9, temperature=0, stop="5")
    assert_becomes_true(lambda: count("length") == before["length"] + 1)
    assert_becomes_true(lambda: count("stop") == before["stop"] + 2)


def test_nothing_is_compiled_after_warm_up(server):
    """Every prompt length, and every field that reaches the device."""
    compiled = []

    def listen(event, _seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    server.complete(prompt="0", n=8, max_tokens=32)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for length in range(1, 65):
            server.complete(
                prompt=[[length % 60] * length], max_tokens=1 + length % 16, seed=length
            )
        more = [{"stop": ["7", "89"]}, {"logprobs": 5, "echo": True}, {"n": 3, "best_of": 5}]
        more += [{"logit_bias": {"5": -9}}, {"presence_penalty": 1, "temperature": 0}]
        more += [{"top_p": 0.3}, {"echo": True, "max_tokens": 0, "logprobs": 0}]
        for fields in more:
            server.complete(**{"prompt": "0123", "max_tokens": 6} | fields)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled == []


def test_keys_let_in():
    with run_server(warm=False, keys=["first", "second"]) as server:
        for key, status in [
            ("", 401),
            ("Bearer wrong", 401),
            ("Basic first", 401),
            ("Bearer second", 200),
        ]:
            actual, answer, _ = server.send("GET", "/v1/models", headers={"Authorization": key})
            assert actual == status, answer
        assert server.refuse(401, prompt="0")["code"] == "invalid_api_key"
        assert server.send("GET", "/healthz")[0] == 503  # nothing is compiled yet
        _, answer, headers = server.send(
            "POST", "/v1/completions", {}, {"Authorization": "Bearer first"}
        )
        assert answer["error"]["code"] == "loading"
        assert headers["retry-after"]


def test_too_many_and_too_much_are_refused():
    with run_server(limits={"max_requests": 1, "max_body_bytes": 100}) as server:
        server.service.active = 1
        status, answer, headers = server.send("POST", "/v1/completions", {"model": "counts"})
        assert (status, headers["retry-after"]) == (429, "1")
        assert answer["error"]["code"] == "rate_limit_exceeded"
        server.service.active = 0
        assert server.send("POST", "/v1/completions", b" " * 101)[0] == 413


def open_stream(server, **body):
    talk = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    body = {"model": "counts", "prompt": "\0", "max_tokens": 32, "stream": True} | body
    talk.request("POST", "/v1/completions", json.dumps(body))
    return talk, talk.getresponse()


def test_a_disconnect_frees_the_rows(server):
    talk, answer = open_stream(server, n=8, temperature=0)
    answer.read(10)
    answer.close()
    talk.close()
    assert_becomes_true(
        lambda: server.service.active == 0 and server.service.engine_thread.load == (0, 0)
    )


def test_a_disconnect_at_once_leaves_nothing_behind(server):
    content = json.dumps({"model": "counts", "prompt": "0", "stream": True}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
    for sent in [head.encode() + content, head.encode() + content[:5]] * 8:
        with socket.create_connection(("127.0.0.1", server.port)) as talk:
            talk.sendall(sent)
    server.complete(prompt="0")
    assert_becomes_true(
        lambda: server.service.active == 0 and server.service.engine_thread.load == (0, 0)
    )


def test_a_failing_engine_leaves_no_request_waiting():
    def fail(**_):
        raise RuntimeError("out of memory")

    with run_server() as server:
        server.service.active += 1  # keeps it from exiting at once
        server.service.engine_thread._engine.step = fail
        assert server.refuse(500, prompt="0")["type"] == "server_error"
        assert server.refuse(500, prompt="0")["type"] == "server_error"
        assert server.send("GET", "/healthz")[:2] == (503, {"status": "failed"})
        assert not server.server.should_exit
        server.service._end_request()
        assert_becomes_true(lambda: server.server.should_exit)
        outputs = []
        server.service.engine_thread.submit([Request("late", [1])], outputs.append)
        assert [str(error) for error in outputs] == ["out of memory"]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_a_stream_whose_engine_fails_ends_with_an_error(path):
    """After its first piece: the status is sent, so an event must say it."""
    settings = {"chat_template": "{{ messages[0].content }}"}
    with run_server(settings=settings) as server:
        engine, steps = server.service.engine_thread._engine, []
        step = engine.step

        def fail_later(**options):
            steps.append(options)
            if len(steps) > 1:
                raise RuntimeError("out of memory")
            return step(**options)

        engine.step = fail_later
        server.service.active += 1  # keeps it from exiting at once
        prompt = {"messages": [{"role": "user", "content": "0"}]} if "chat" in path else {}
        body = {"model": "counts", "prompt": "0"} if not prompt else {"model": "counts"} | prompt
        body |= {"stream": True, "temperature": 0, "max_tokens": 14}
        status, text, _ = server.send("POST", path, body)
        *pieces, last = text.removesuffix("\n\n").split("\n\n")
        assert status == 200
        assert pieces
        error = json.loads(last.removeprefix("data: "))["error"]
        assert error["type"] == "server_error"
        assert "[DONE]" not in text
        server.service._end_request()


def test_a_draining_server_answers_requests_in_progress():
    with run_server() as server:
        ended = threading.Event()
        server.service.active += 1  # one request in progress
        server.service.drain(ended.set)
        assert server.send("GET", "/healthz")[:2] == (503, {"status": "draining"})
        assert server.refuse(503, prompt="0")["code"] == "shutting_down"
        assert not ended.is_set()
        server.service._end_request()
        assert ended.is_set()


def _open_request(port, rest=b"{"):
    """A connection whose request's body never arrives."""
    client = socket.create_connection(("127.0.0.1", port))
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n"
    client.sendall(head + rest)
    return client


def test_a_body_that_never_arrives_is_refused_and_gives_its_place_back():
    limits = {"max_requests": 1, "max_client_seconds": 0.5}
    with run_server(limits=limits) as running, _open_request(running.port) as client:
        while not running.service.active:
            time.sleep(0.01)
        running.refuse(429, prompt="1")
        answer = b""
        while chunk := client.recv(65536):  # up to the end: the connection is closed
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the body hasn't arrived within 0.5 s" in answer
        assert running.complete(prompt="1", max_tokens=1)


def test_a_body_that_never_arrives_ends_a_drain():
    with run_server(limits={"max_client_seconds": 0.5}) as running, _open_request(running.port):
        while not running.service.active:
            time.sleep(0.01)
        drained = threading.Event()
        running.service.drain(drained.set)
        assert not drained.is_set()
        assert drained.wait(10)


def test_a_client_that_takes_nothing_of_its_stream_has_disconnected():
    closed, ended = [], []

    async def events():
        try:
            while True:
                yield "data: 1\n\n"
        finally:
            closed.append(True)

    async def receive():
        await asyncio.sleep(60)

    async def send(message):
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    stream = responses.EventStreamResponse(events(), "id", lambda: ended.append(True), 0.1)
    asyncio.run(asyncio.wait_for(stream({"type": "http"}, receive, send), 10))
    assert closed == ended == [True]
