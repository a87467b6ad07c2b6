"""`codex-jax serve`: a checkpoint behind OpenAI's completions API."""

import asyncio
import contextlib
import os
import pathlib
import socket
import sys
import traceback
from collections.abc import Sequence

import uvicorn

from codex_jax import InputError
from codex_jax.sample import generate
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.serve.app import Service
from codex_jax.sample.serve.completion_request import Limits
from codex_jax.sample.serve.engine_thread import Driver
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer

_KEYS = "CODEX_JAX_API_KEYS"


def serve(
    *,
    checkpoint_dir: str,
    tokenizer: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    model_name: str = "codex",
    step: int | None = None,
    batch_size: int = 32,
    limits: Limits = Limits(),
    api_keys: str = "",
    dtype: str = "float32",
    weights: str | None = None,
    cache: str | None = None,
    mesh: MeshShape | None = None,
    begin: bool = True,
) -> None:
    """Serves a checkpoint: POST /v1/completions as OpenAI's, and a page to try it at /.

    SIGTERM or Ctrl-C lets what is under way be answered, then ends; a second one ends at once.
    Should the engine fail, what is under way is answered with 500 and the exit status is 1.

    Args:
      checkpoint_dir: Directory that train wrote.
      tokenizer: The tokenizer the model was trained with (tokenizer.json).
      host: Address to listen on; 0.0.0.0 is all.
      port: Port to listen on; 0 takes a free one, which is printed.
      model_name: What clients call the model.
      step: Checkpoint to serve; the newest, unless given.
      batch_size: Samples that run at a time.
      limits: What a request may ask for.
      api_keys: File of keys, one a line; else those of $CODEX_JAX_API_KEYS, split at commas; no
        keys let everybody in.
      dtype: Of activations: "float32" or "bfloat16".
      weights: As they are kept: the dtype, unless "int8".
      cache: As keys and values are kept: the dtype, unless "int8".
      mesh: Devices; every device a replica, unless given.
      begin: Begin a prompt with end of text, as our documents begin; foreign models mostly don't.
    """
    keys = _keys(api_keys)
    text = Tokenizer.load(tokenizer)
    card = generate.read_card(checkpoint_dir, step, tokenizer, text)
    limits = limits.within(card.model["max_length"])
    kinds = {"dtype": dtype, "weights": weights, "cache": cache}
    with _listening(host, port) as listener:
        shape = plan(longest=limits.prompt, samples=1, rows=batch_size, new=limits.new, **kinds)
        engine = generate.load_engine(checkpoint_dir, card, shape, mesh or MeshShape(), text)
        driver = Driver(engine)
        service = Service(
            driver,
            text,
            model=model_name,
            vocabulary=card.model["vocab_size"],
            limits=limits,
            begin=begin,
            keys=keys,
        )
        _run(service, driver, listener)


def _keys(path: str) -> Sequence[str]:
    if not path:
        return [key for key in os.environ.get(_KEYS, "").split(",") if key]
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"api_keys: {path} can't be read: {error}") from None
    if not lines:
        raise InputError(f"api_keys: {path} holds no key; expected one a line")
    return lines


def _listening(host: str, port: int) -> socket.socket:
    """Taken before anything heavy happens."""
    try:
        return socket.create_server((host, port), backlog=1024)
    except (OSError, OverflowError) as error:
        raise InputError(f"can't listen on {host}:{port}: {error}; turn host or port") from None


class _Server(uvicorn.Server):
    """Ends by draining: at the first signal nothing new is taken in, at the second it leaves.

    It drains too when the engine fails: nothing more can be answered.
    """

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self._service = service

    async def startup(self, sockets=None):
        await super().startup(sockets)
        loop = asyncio.get_running_loop()

        def drain():
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._service.drain, self._leave)

        self._service.driver.on_failure(drain)

    def handle_exit(self, sig, frame):
        if self._service.draining:
            self.force_exit = True
        self._service.drain(self._leave)

    def _leave(self):
        self.should_exit = True


def _run(service: Service, driver: Driver, listener: socket.socket) -> None:
    address = "http://{}:{}".format(*listener.getsockname()[:2])
    print(f"{service.model} at {address}, being compiled", file=sys.stderr, flush=True)
    driver.start()
    config = uvicorn.Config(service.app(), log_level="warning", access_log=False, lifespan="off")
    server = _Server(config, service)
    server.run(sockets=[listener])
    if not server.force_exit and not driver.failure:
        driver.close()
    if error := driver.failure:
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise SystemExit(f"the engine failed at {where.filename}:{where.lineno}: {what}")
