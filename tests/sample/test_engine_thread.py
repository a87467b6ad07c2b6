"""The engine's thread, with an engine of the same interface that needs no model."""

import queue
import threading
import types

import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.requests import Request, Sample
from codex_jax.sample.serve.engine_thread import EngineThread


class EchoEngine(Engine):
    """Returns each prompt as its sample, a request a step; fails at token 9, refuses token 8."""

    def __init__(self):
        self.shape = types.SimpleNamespace(max_prompt_tokens=64)
        self.requests = []

    running = property(lambda self: len(self.requests))
    waiting = property(lambda _: 0)
    idle = property(lambda self: not self.requests)

    def submit(self, request):
        if 8 in request.tokens:
            raise InputError("token 8 is refused")
        self.requests.append(request)

    def cancel(self, request_id, index=None):
        del index
        self.requests = [r for r in self.requests if r.id != request_id]

    def step(self, *, steps=1):
        del steps
        request = self.requests.pop(0)
        if 9 in request.tokens:
            raise RuntimeError("token 9")
        return [Sample(request.id, 0, np.array(request.tokens), np.zeros(1), "length")]


@pytest.fixture
def thread():
    engine_thread = EngineThread(EchoEngine())
    yield engine_thread
    if engine_thread._thread.is_alive():
        engine_thread.close()


def submit(thread, *requests):
    outputs = queue.Queue()
    thread.submit(requests, outputs.put)
    return outputs


def test_nothing_runs_before_start_and_close_finishes_everything(thread):
    before = threading.active_count()
    outputs = submit(thread, Request("a", [1]), Request("b", [2]))
    assert threading.active_count() == before
    assert outputs.empty()
    thread.start()
    assert thread.ready.wait(10)
    thread.close()
    assert [outputs.get(timeout=1).request_id for _ in range(2)] == ["a", "b"]
    assert thread.load == (0, 0)


def test_a_with_block_starts_and_finishes_everything():
    with EngineThread(EchoEngine()) as thread:
        outputs = submit(thread, Request("a", [1]))
    assert outputs.get(timeout=1).request_id == "a"
    assert not thread._thread.is_alive()


def test_each_listener_gets_its_own_outputs_only(thread):
    thread.start()
    listeners = {name: submit(thread, Request(name, [n])) for n, name in enumerate("abcde")}
    for name, outputs in listeners.items():
        assert outputs.get(timeout=10).request_id == name
        assert outputs.empty()


def test_a_cancelled_request_has_no_output(thread):
    outputs = submit(thread, Request("a", [1]))
    thread.cancel(["a", "unknown"])
    thread.start()
    thread.close()
    assert outputs.empty()


def test_a_refused_request_reports_its_error_and_the_thread_lives(thread):
    thread.start()
    assert str(submit(thread, Request("a", [8])).get(timeout=10)) == "token 8 is refused"
    assert submit(thread, Request("b", [1])).get(timeout=10).request_id == "b"


def test_a_failure_reaches_every_listener_early_and_late(thread):
    failed = threading.Event()
    first = submit(thread, Request("a", [9]))
    second = submit(thread, Request("b", [1]))
    thread.on_failure(failed.set)
    thread.start()
    assert failed.wait(10)
    assert str(first.get(timeout=1)) == str(second.get(timeout=1)) == "token 9"
    assert str(submit(thread, Request("c", [1])).get(timeout=1)) == "token 9"
