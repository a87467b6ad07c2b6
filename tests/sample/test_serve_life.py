"""The completions server as it lives: keys, limits, hang-ups, metrics, failure, its end."""

import dataclasses
import http.client
import json
import re
import socket
import threading
import time

import jax
import pytest

from codex_jax.sample.engine.requests import Request
from tests.sample.serving import running


@pytest.fixture(scope="module")
def server():
    with running() as found:
        yield found


def assert_comes_true(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


def test_every_answer_has_a_name(server):
    body = {"model": "counts", "prompt": "0", "max_tokens": 1}
    asked = [("POST", "/v1/completions", body | more) for more in ({}, {"stream": True}, {"n": 0})]
    asked += [("GET", path, None) for path in ("/", "/healthz", "/v1/models", "/none")]
    names = [server.send(*each)[2]["x-request-id"] for each in asked]
    assert all(names) and len(set(names)) == len(names)
    assert names[0].startswith("cmpl-")


def test_a_bug_is_a_500_with_a_name(server, monkeypatch):
    def fail(*_):
        raise ValueError("a bug")

    monkeypatch.setattr(server.service, "_check_model", fail)
    status, answer, headers = server.send("GET", "/v1/models/counts")
    assert (status, answer["error"]["message"]) == (500, "internal error")
    assert headers["x-request-id"]


def test_metrics_tell_how_streams_ended(server):
    def ended(how):
        text = server.send("GET", "/metrics")[1]
        found = re.search(rf'request_success_total{{finished_reason="{how}".*}} (\S+)', text)
        return float(found.group(1)) if found else 0.0

    before = {how: ended(how) for how in ("stop", "length")}
    server.stream(prompt="0", max_tokens=3, temperature=0)
    server.stream(prompt="9", max_tokens=20, temperature=0)
    server.stream(prompt="0", max_tokens=9, temperature=0, stop="5")
    assert_comes_true(lambda: ended("length") == before["length"] + 1)
    assert_comes_true(lambda: ended("stop") == before["stop"] + 2)


def test_nothing_is_compiled_after_warm_up(server):
    """Every prompt length, and every field that reaches the device."""
    compiled = []

    def listen(event, seconds, **_):
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
    with running(warm=False, keys=["first", "second"]) as server:
        for key, status in [
            ("", 401),
            ("Bearer wrong", 401),
            ("Basic first", 401),
            ("Bearer second", 200),
        ]:
            found, answer, _ = server.send("GET", "/v1/models", headers={"Authorization": key})
            assert found == status, answer
        assert server.refuse(401, prompt="0")["code"] == "invalid_api_key"
        assert server.send("GET", "/healthz")[0] == 503  # nothing is compiled yet
        _, answer, headers = server.send(
            "POST", "/v1/completions", {}, {"Authorization": "Bearer first"}
        )
        assert answer["error"]["code"] == "loading" and headers["retry-after"]


def test_too_many_and_too_much_are_refused():
    with running(limits={"requests": 0, "body": 100}) as server:
        status, answer, headers = server.send("POST", "/v1/completions", {"model": "counts"})
        assert (status, headers["retry-after"]) == (429, "1")
        assert answer["error"]["code"] == "rate_limit_exceeded"
        server.service.limits = dataclasses.replace(server.service.limits, requests=1)
        assert server.send("POST", "/v1/completions", b" " * 101)[0] == 413


def open_stream(server, **body):
    talk = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    body = {"model": "counts", "prompt": "\0", "max_tokens": 32, "stream": True} | body
    talk.request("POST", "/v1/completions", json.dumps(body))
    return talk, talk.getresponse()


def test_who_hangs_up_frees_the_rows(server):
    talk, answer = open_stream(server, n=8, temperature=0)
    answer.read(10)
    answer.close()
    talk.close()
    assert_comes_true(lambda: server.service.active == 0 and server.service.driver.load == (0, 0))


def test_who_hangs_up_at_once_is_forgotten(server):
    content = json.dumps({"model": "counts", "prompt": "0", "stream": True}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
    for sent in [head.encode() + content, head.encode() + content[:5]] * 8:
        with socket.create_connection(("127.0.0.1", server.port)) as talk:
            talk.sendall(sent)
    server.complete(prompt="0")
    assert_comes_true(lambda: server.service.active == 0 and server.service.driver.load == (0, 0))


def test_an_engine_that_fails_leaves_nobody_waiting():
    def fail(**_):
        raise RuntimeError("out of memory")

    with running() as server:
        server.service.active += 1  # keeps it from leaving at once
        server.service.driver._engine.step = fail
        assert server.refuse(500, prompt="0")["type"] == "server_error"
        assert server.refuse(500, prompt="0")["type"] == "server_error"
        assert server.send("GET", "/healthz")[:2] == (503, {"status": "failed"})
        assert not server.server.should_exit
        server.service._leave()
        assert_comes_true(lambda: server.server.should_exit)
        told = []
        server.service.driver.ask([Request("late", [1])], told.append)
        assert [str(error) for error in told] == ["out of memory"]


def test_a_drained_server_answers_what_it_took_in():
    with running() as server:
        ended = threading.Event()
        server.service.active += 1  # one request under way
        server.service.drain(ended.set)
        assert server.send("GET", "/healthz")[:2] == (503, {"status": "draining"})
        assert server.refuse(503, prompt="0")["code"] == "shutting_down"
        assert not ended.is_set()
        server.service._leave()
        assert ended.is_set()
