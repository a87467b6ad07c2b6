"""A server of the counting model on a free port, and clients of the standard library."""

import contextlib
import http.client
import json
import threading
import time

import uvicorn

from codex_jax import InputError
from codex_jax.sample.serve.app import Service
from codex_jax.sample.serve.completion_request import Limits
from codex_jax.sample.serve.engine_thread import Driver
from codex_jax.sample.serve.serve import _listening, _Server
from tests.sample import models


class Bytes:
    """A tokenizer of bytes below 64: digits, some signs, and "?" for end of text."""

    eos_id, vocab_size, hash = models.EOS, models.V, "0" * 64

    def encode(self, text):
        return [byte % models.V for byte in text.encode()]

    def token_bytes(self, token):
        return models.TOKEN_BYTES[token]

    def special_id(self, name):
        raise InputError(f"no token {name}")


class Running:
    """What a test talks to."""

    def __init__(self, service, server, port):
        self.service, self.server, self.port = service, server, port

    def send(self, method, path, body=None, headers=None):
        """(status, JSON or text, headers)."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        ) as c:
            content = body if isinstance(body, bytes | None) else json.dumps(body)
            c.request(method, path, content, headers or {})
            answer = c.getresponse()
            text = answer.read().decode()
            is_json = answer.getheader("content-type", "").startswith("application/json")
            return answer.status, json.loads(text) if is_json else text, answer.headers

    def complete(self, **body):
        status, answer, _ = self.send("POST", "/v1/completions", {"model": "counts", **body})
        assert status == 200, answer
        return answer

    def refuse(self, status=400, **body):
        found, answer, _ = self.send("POST", "/v1/completions", {"model": "counts", **body})
        assert found == status, answer
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        return answer["error"]

    def stream(self, **body):
        """Every chunk of a streamed completion."""
        status, text, headers = self.send(
            "POST", "/v1/completions", {"model": "counts", "stream": True, **body}
        )
        assert status == 200, text
        assert headers["content-type"].startswith("text/event-stream")
        *events, last = text.removesuffix("\n\n").split("\n\n")
        assert last == "data: [DONE]"
        return [json.loads(event.removeprefix("data: ")) for event in events]


@contextlib.contextmanager
def running(*, warm=True, limits=None, more=lambda service: [], **options):
    """The server, its engine's programs compiled where `warm`; `more` makes routes for a test."""
    config, params = models.counting_model()
    engine = models.start(config, params, longest=64, rows=8, new=32, samples=1)
    driver = Driver(engine)
    limits = Limits(prompt=64, new=32, length=80, prompts=4, samples=8, **limits or {})
    service = Service(
        driver,
        Bytes(),
        model="counts",
        vocabulary=models.V,
        limits=limits,
        **{"begin": False} | options,
    )
    app = service.app()
    app.router.routes.extend(more(service))
    listener = _listening("127.0.0.1", 0)
    options = {"log_level": "error", "access_log": False, "lifespan": "off"}
    server = _Server(uvicorn.Config(app, **options), service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    if warm:
        driver.start()
        assert driver.ready.wait(120)
    yield Running(service, server, listener.getsockname()[1])
    server.should_exit = True
    thread.join(30)
    if warm:
        driver.close()
