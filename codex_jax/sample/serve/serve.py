"""`codex-jax serve`: a checkpoint behind OpenAI's completions API."""

import asyncio
import contextlib
import dataclasses
import hashlib
import math
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any

import uvicorn

from codex_jax import InputError, checkpoint, ranges
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.kv_cache import block_bounds
from codex_jax.sample.engine.load import load_engine, read_card, weights_fingerprint
from codex_jax.sample.engine.state import EngineShape
from codex_jax.sample.sampling.text_ends import read_ends
from codex_jax.sample.sampling.token_healing import MAX_TAIL
from codex_jax.sample.serve.access import check_origins, model_names, read_keys
from codex_jax.sample.serve.app import Service
from codex_jax.sample.serve.completion_request import ServerLimits
from codex_jax.sample.serve.engine_thread import EngineThread
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer

_RANGES = {"batch_size": ranges.integer(1, 65_536)}


def serve(
    *,
    checkpoint_dir: str,
    tokenizer: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    model_name: str = "codex",
    cors_origins: Sequence[str] = (),
    step: int | None = None,
    batch_size: int = 32,
    limits: ServerLimits = ServerLimits(),
    api_keys: str = "",
    dtype: str = "float32",
    weights_dtype: str | None = None,
    kv_cache_dtype: str | None = None,
    mesh: MeshShape | None = None,
    prepend_eos: bool | None = None,
    token_healing: bool = True,
) -> None:
    """Serves a checkpoint: POST /v1/completions as OpenAI's, and a page to try it at /.

    SIGTERM or Ctrl-C lets requests in progress finish, then exits; a second one exits at once. If
    the engine fails, requests in progress are answered with 500 and the exit status is 1.

    Args:
      checkpoint_dir: Directory that train wrote.
      tokenizer: The tokenizer the model was trained with (tokenizer.json).
      host: Address to listen on; 0.0.0.0 is all.
      port: Port to listen on; 0 takes a free one, which is printed.
      model_name: The name that clients call the model; several are split at commas.
      cors_origins: Origins, such as "https://example.org", whose pages may call; "*" is any.
      step: Checkpoint to serve; the newest if None.
      batch_size: Samples that run at a time.
      limits: Limits of a request.
      api_keys: File with a key a line; else $CODEX_JAX_API_KEYS, split at commas; none: no check.
      dtype: Of activations: "float32" or "bfloat16".
      weights_dtype: Storage dtype of the weights: dtype (default) or "int8".
      kv_cache_dtype: Storage dtype of keys and values: dtype (default) or "int8".
      mesh: Devices along each mesh axis; by default every device is a replica.
      prepend_eos: Prepend the begin token, or end of text; None does as the model's card says.
      token_healing: Sample a prompt's last tokens anew where a longer token may stand there.
    """
    ranges.check("serve", locals(), _RANGES)
    check_origins(cors_origins)
    model, *aliases = model_names(model_name)
    keys = read_keys(api_keys)
    bpe = Tokenizer.load(tokenizer)
    card = read_card(checkpoint_dir, step, tokenizer, bpe)
    limits = limits.clamped_to(card.model["max_length"])
    dtypes = {"dtype": dtype, "weights_dtype": weights_dtype, "kv_cache_dtype": kv_cache_dtype}
    shape = _plan(limits, batch_size, dtypes, token_healing=token_healing)
    options: dict[str, Any] = {"model": model, "aliases": aliases, "cors_origins": cors_origins}
    options |= {"vocab_size": card.model["vocab_size"], "limits": limits}
    options |= {"ends": read_ends(card, bpe, prepend_eos), "keys": keys}
    options["token_healing"] = token_healing
    options["fingerprint"] = _fingerprint(checkpoint_dir, card, shape)
    with _listen(host, port) as listener:
        engine = load_engine(checkpoint_dir, card, shape, mesh or MeshShape(), bpe)
        _run(Service(EngineThread(engine), bpe, **options), listener)


def _plan(
    limits: ServerLimits, rows: int, dtypes: dict[str, Any], *, token_healing: bool
) -> EngineShape:
    """Sizes for the limits.

    Healing adds no block to the cache: a sample of exactly the limit may end a little earlier.
    """
    shape = plan(
        max_prompt_tokens=limits.max_prompt_tokens,
        samples_per_prompt=1,
        rows=rows,
        max_new_tokens=limits.max_new_tokens,
        tail_bytes=MAX_TAIL if token_healing else 0,
        **dtypes,
    )
    _, capacity = block_bounds(shape.max_new_tokens)[-1]
    spare = min(shape.spare_tokens, capacity - shape.max_new_tokens)
    return dataclasses.replace(shape, spare_tokens=spare)


def _fingerprint(checkpoint_dir: str, card: checkpoint.Card, shape: EngineShape) -> str:
    """A hash that changes with the weights, their step, the tokenizer and the dtypes."""
    weights = weights_fingerprint(checkpoint_dir, card.step)
    dtypes = (shape.dtype, shape.weights_dtype, shape.kv_cache_dtype)
    content = repr((weights, card.step, card.tokenizer_hash, dtypes))
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _listen(host: str, port: int) -> socket.socket:
    """Opens the port, before any slow work."""
    if not host:  # to the socket it is all addresses
        raise InputError("host is empty; set it to an address, 0.0.0.0 for all")
    try:
        return socket.create_server((host, port), backlog=1024)
    except (OSError, OverflowError, TypeError, ValueError) as error:
        raise InputError(
            f"can't listen on {host!a:.80} at port {port}: {error}; set host or port to another"
        ) from None


class DrainingServer(uvicorn.Server):
    """Shuts down by draining: the first signal refuses new requests, the second exits at once.

    It drains too when the engine fails.
    """

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens the sockets, and from then on drains when the engine fails."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()

        def drain():
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._service.drain, self._exit)

        self._service.engine_thread.on_failure(drain)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drains; exits at once at the second signal."""
        del sig, frame
        if self._service.draining:
            self.force_exit = True
        self._service.drain(self._exit)

    def _exit(self) -> None:
        self.should_exit = True


def _announce(engine_thread: EngineThread, line: str) -> None:
    """Prints a line once the engine is ready."""
    engine_thread.ready.wait()
    print(line, file=sys.stderr, flush=True)


def _run(service: Service, listener: socket.socket) -> None:
    """Serves until a signal or the engine's failure.

    Raises:
      SystemExit: the engine failed.
    """
    engine_thread = service.engine_thread
    address = "http://{}:{}".format(*listener.getsockname()[:2])
    print(f"{service.model} at {address}, being compiled", file=sys.stderr, flush=True)
    engine_thread.start()
    announcement = f"{service.model} at {address}, ready"
    threading.Thread(target=_announce, args=(engine_thread, announcement), daemon=True).start()
    config = uvicorn.Config(
        service.app(),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=math.ceil(service.limits.max_client_seconds),
    )
    server = DrainingServer(config, service)
    server.run(sockets=[listener])
    if not server.force_exit and not engine_thread.failure:
        engine_thread.close()
    if error := engine_thread.failure:
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = " ".join(f"{type(error).__name__}: {error}".split())
        raise SystemExit(f"the engine failed at {where.filename}:{where.lineno}: {message}")
