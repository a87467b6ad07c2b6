"""A server of the counting model on a free port, and clients of the standard library."""

import contextlib
import http.client
import json
import threading
import time

import uvicorn

from codex_jax import InputError
from codex_jax.sample.serve.app import Service
from codex_jax.sample.serve.completion_request import ServerLimits
from codex_jax.sample.serve.engine_thread import EngineThread
from codex_jax.sample.serve.serve import DrainingServer, _listen
from codex_jax.tokenizer import Tokenizer
from tests.sample import models


class ByteTokenizer(Tokenizer):
    """A tokenizer of bytes below 64: digits, some signs, and "?" for end of text."""

    eos_id, vocab_size, hash = models.EOS, models.V, "0" * 64
    special_ids = frozenset({models.EOS})

    settings = None

    def __init__(self, settings=None):
        """Needs no vocabulary; may have the settings of an imported one."""
        self.settings = settings or {}

    def encode(self, text, *, specials=False):
        del specials
        return [byte % models.V for byte in text.encode()]

    def token_bytes(self, token):
        return models.TOKEN_BYTES[token]

    def special_id(self, name):
        raise InputError(f"no token {name}")


class TestServer:
    """A running server, and requests to it."""

    __test__ = False

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
        actual, answer, _ = self.send("POST", "/v1/completions", {"model": "counts", **body})
        assert actual == status, answer
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
def run_server(*, warm=True, limits=None, extra_routes=None, settings=None, **options):
    """The server, its engine started if `warm`; `extra_routes` makes routes from the service."""
    config, params = models.counting_model()
    engine = models.start_engine(
        config, params, max_prompt_tokens=64, rows=8, max_new_tokens=32, samples_per_prompt=1
    )
    engine_thread = EngineThread(engine)
    sizes = {"max_prompt_tokens": 64, "max_new_tokens": 32, "max_context": 80}
    counts = {"max_prompts": 4, "max_samples": 8}
    limits = ServerLimits(**sizes | counts | (limits or {}))
    service = Service(
        engine_thread,
        ByteTokenizer(settings),
        model="counts",
        vocab_size=models.V,
        limits=limits,
        **options,
    )
    app = service.app()
    if extra_routes:
        app.router.routes.extend(extra_routes(service))
    listener = _listen("127.0.0.1", 0)
    options = {"log_level": "error", "access_log": False, "lifespan": "off"}
    server = DrainingServer(uvicorn.Config(app, **options), service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    if warm:
        engine_thread.start()
        assert engine_thread.ready.wait(120)
    yield TestServer(service, server, listener.getsockname()[1])
    server.should_exit = True
    thread.join(30)
    if warm:
        engine_thread.close()
