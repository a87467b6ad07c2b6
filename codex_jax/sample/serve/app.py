"""The HTTP application: routes, API keys, limits, and an orderly shutdown."""

import asyncio
import collections
import hmac
import itertools
import secrets
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from codex_jax.files import parse_json
from codex_jax.sample.sampling.text_ends import TextEnds
from codex_jax.sample.sampling.token_healing import TokenHealer
from codex_jax.sample.serve import responses
from codex_jax.sample.serve.chat import ChatCompletion, read_chat, to_completion_body
from codex_jax.sample.serve.chat_template import ChatTemplate
from codex_jax.sample.serve.completion import Completion
from codex_jax.sample.serve.completion_request import ServerLimits, parse_request
from codex_jax.sample.serve.engine_thread import EngineThread
from codex_jax.sample.serve.errors import ApiError
from codex_jax.sample.serve.metrics import Metrics
from codex_jax.tokenizer import Tokenizer


class Service:
    """The state that the routes share.

    Args:
      engine_thread: Runs the model.
      tokenizer: The model's.
      model: The name that clients use.
      aliases: More names of it.
      vocab_size: The model's.
      limits: Limits of a request.
      ends: Tokens that begin and end a text; by default the tokenizer's end of text ends one.
      keys: API keys; without any, everybody is let in.
      fingerprint: Changes with the weights and their dtypes; by default the tokenizer's hash.
      cors_origins: Origins whose pages browsers let in; "*" is any.
      token_healing: Heal prompts that are strings; the engine's shape must have space for it.
    """

    def __init__(
        self,
        engine_thread: EngineThread,
        tokenizer: Tokenizer,
        *,
        model: str,
        vocab_size: int,
        limits: ServerLimits,
        ends: TextEnds | None = None,
        keys: Sequence[str] = (),
        aliases: Sequence[str] = (),
        fingerprint: str = "",
        cors_origins: Sequence[str] = (),
        token_healing: bool = False,
    ):
        self.engine_thread, self.tokenizer = engine_thread, tokenizer
        self.model, self.vocab_size, self.limits = model, vocab_size, limits
        self.ends = ends or TextEnds((), (tokenizer.eos_id,))
        self.cors_origins = list(cors_origins)
        self.names = [model, *aliases]
        self.chat_template = ChatTemplate(tokenizer)
        self.healer = TokenHealer.from_tokenizer(tokenizer) if token_healing else None
        self.fingerprint = fingerprint or tokenizer.hash[:12]
        self.keys = [key.encode() for key in keys]
        self.metrics = Metrics(engine_thread, model)
        self.created = int(time.time())
        self.active = 0
        self._numbers = itertools.count()
        self._on_drained: Callable[[], None] | None = None

    def app(self) -> Starlette:
        """The ASGI application."""
        middleware = [Middleware(responses.RequestIdMiddleware)]
        if origins := self.cors_origins:
            every = ["*"]
            cors = Middleware(
                CORSMiddleware, allow_origins=origins, allow_methods=every, allow_headers=every
            )
            middleware.append(cors)
        return Starlette(
            routes=[
                Route("/v1/completions", self.complete, methods=["POST"]),
                Route("/v1/chat/completions", self.complete_chat, methods=["POST"]),
                Route("/v1/engines/{engine:path}/completions", self.complete, methods=["POST"]),
                Route("/v1/models", self.list_models),
                Route("/v1/engines", self.list_models),
                Route("/v1/models/{name:path}", self.retrieve_model),
                Route("/v1/engines/{name:path}", self.retrieve_model),
                Route("/health", self.health),
                Route("/healthz", self.health),
                Route("/metrics", self.show_metrics),
                Route("/", show_playground),
            ],
            exception_handlers={
                ApiError: lambda _, error: error.response(),
                HTTPException: responses.http_error,
                ClientDisconnect: responses.client_closed,
                Exception: responses.internal_error,
            },
            middleware=middleware,
        )

    @property
    def draining(self) -> bool:
        """Whether new requests are refused."""
        return self._on_drained is not None

    def drain(self, on_drained: Callable[[], None]) -> None:
        """Refuses new requests; calls `on_drained` once those in progress are answered."""
        self._on_drained = on_drained
        if not self.active:
            on_drained()

    async def complete(self, request: Request) -> Response:
        """POST /v1/completions, and /v1/engines/ENGINE/completions as openai 0.28 calls it."""
        return await self._respond(request, self._parse)

    async def complete_chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        return await self._respond(request, self._parse_chat)

    async def _respond(
        self, request: Request, parse: Callable[[Request], Awaitable[Completion]]
    ) -> Response:
        self._check_available(request)
        self.active += 1
        arrival, is_streaming = time.perf_counter(), False
        try:
            completion = await parse(request)
            if completion.request.stream:
                is_streaming = True
                events = self._events(completion, arrival)
                seconds = self.limits.max_client_seconds
                return responses.EventStreamResponse(
                    events, completion.id, self._end_request, seconds
                )
            answer = await self._answer(request, completion, arrival)
            return JSONResponse(answer, headers={"x-request-id": completion.id})
        finally:
            if not is_streaming:
                self._end_request()

    def _check_available(self, request: Request) -> None:
        self._check_key(request)
        if self.engine_thread.failure:
            raise ApiError(500, "the engine has failed; see the server's log")
        if self.draining:
            raise ApiError(503, "the server is shutting down", code="shutting_down", retry=5)
        if not self.engine_thread.ready.is_set():
            raise ApiError(503, "the model is still being compiled", code="loading", retry=5)
        if self.active >= self.limits.max_requests:
            raise ApiError(
                429,
                f"{self.active} requests are in progress, as many as this server allows",
                code="rate_limit_exceeded",
                retry=1,
            )

    def _end_request(self) -> None:
        self.active -= 1
        if self._on_drained and not self.active:
            self._on_drained()

    async def _parse(self, request: Request) -> Completion:
        body = _add_engine(await self._read_body(request), request.path_params.get("engine"))
        return self._start(body, "cmpl", Completion)

    async def _parse_chat(self, request: Request) -> Completion:
        fields = read_chat(await self._read_body(request))
        self._check_model(fields["model"])
        body = to_completion_body(fields, self.chat_template, self.limits)
        return self._start(body, "chatcmpl", ChatCompletion)

    def _start(self, body: Any, prefix: str, completion_class: type[Completion]) -> Completion:
        """A completion of a request's body."""
        completion_request = parse_request(
            body,
            self.tokenizer,
            self.vocab_size,
            self.limits,
            begin_ids=self.ends.begin_ids,
            healer=self.healer,
        )
        self._check_model(body["model"])
        completion_id = f"{prefix}-{next(self._numbers)}-{secrets.token_hex(8)}"
        return completion_class(
            completion_id,
            body["model"],
            completion_request,
            self.tokenizer,
            self.ends.eos_ids,
            self.engine_thread,
            self.fingerprint,
        )

    async def _read_body(self, request: Request) -> Any:
        body, seconds = bytearray(), self.limits.max_client_seconds
        try:
            async with asyncio.timeout(seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self.limits.max_body_bytes:
                        raise ApiError(413, f"the body exceeds {self.limits.max_body_bytes} bytes")
        except TimeoutError:
            raise ApiError(408, f"the body hasn't arrived within {seconds:g} s") from None
        try:
            return parse_json(
                body.decode(), parse_constant=_refuse_constant, object_pairs_hook=_to_object
            )
        except ValueError as error:
            raise ApiError(400, f"the body isn't JSON: {error}") from None

    async def _answer(self, request: Request, completion: Completion, arrival: float) -> dict:
        """The complete response; aborted if the client disconnects."""
        work = asyncio.ensure_future(completion.complete())
        disconnect = asyncio.ensure_future(responses.wait_for_disconnect(request))
        reason = "abort"
        try:
            await asyncio.wait({work, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            answer = work.result()
            reason = answer["choices"][-1]["finish_reason"]
            return answer
        except ApiError:
            reason = "error"
            raise
        finally:
            disconnect.cancel()
            work.cancel()
            await asyncio.gather(work, disconnect, return_exceptions=True)
            self._record_end(completion, reason, arrival)

    async def _events(self, completion: Completion, arrival: float) -> AsyncGenerator[str]:
        reason, finish_reason, is_first = "abort", "stop", True
        chunks = completion.stream()
        try:
            async for chunk in chunks:
                if is_first:
                    self.metrics.first_token.observe(time.perf_counter() - arrival)
                    is_first = False
                for choice in chunk["choices"]:
                    finish_reason = choice["finish_reason"] or finish_reason
                yield responses.encode_event(chunk)
            reason = finish_reason
        except ApiError as error:
            reason = "error"
            yield responses.encode_event(error.body())
        except Exception:  # noqa: BLE001 - a bug; the status is sent already
            reason = "error"
            traceback.print_exc()
            yield responses.encode_event(ApiError(500, "internal error").body())
        finally:
            await chunks.aclose()
            self._record_end(completion, reason, arrival)
        if reason != "error":  # an error is a stream's last event
            yield "data: [DONE]\n\n"

    def _record_end(self, completion: Completion, reason: str, arrival: float) -> None:
        seconds = time.perf_counter() - arrival
        self.metrics.record_end(
            reason, completion.prompt_tokens, completion.completion_tokens, seconds
        )

    def _check_key(self, request: Request) -> None:
        if not self.keys:
            return
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        matches = [hmac.compare_digest(key.strip().encode(), accepted) for accepted in self.keys]
        if scheme.lower() != "bearer" or not any(matches):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    def _check_model(self, name: str) -> None:
        if name not in self.names:
            raise ApiError(
                404,
                f"The model `{name}` does not exist; this server has `{'`, `'.join(self.names)}`",
                param="model",
                code="model_not_found",
            )

    def _describe_model(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": self.created,
            "owned_by": "codex_jax",
        }

    async def list_models(self, request: Request) -> Response:
        """GET /v1/models, /v1/engines."""
        self._check_key(request)
        return JSONResponse({"object": "list", "data": [*map(self._describe_model, self.names)]})

    async def retrieve_model(self, request: Request) -> Response:
        """GET /v1/models/NAME."""
        self._check_key(request)
        name = request.path_params["name"]
        self._check_model(name)
        return JSONResponse(self._describe_model(name))

    async def health(self, _request: Request) -> Response:
        """GET /health, /healthz: 200 once requests are accepted."""
        if self.engine_thread.failure:
            return JSONResponse({"status": "failed"}, 503)
        if self.draining:
            return JSONResponse({"status": "draining"}, 503)
        is_ready = self.engine_thread.ready.is_set()
        return JSONResponse({"status": "ok" if is_ready else "loading"}, 200 if is_ready else 503)

    async def show_metrics(self, _request: Request) -> Response:
        """GET /metrics."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")


def _add_engine(body: Any, engine: str | None) -> Any:
    """The body with its path's engine as the model.

    Raises:
      ApiError: 400, the body names another model.
    """
    if engine is None or not isinstance(body, dict):
        return body
    if body.get("model") not in (None, engine):
        raise ApiError(400, f"the path's engine is {engine!r}, the model another", param="model")
    return body | {"model": engine}


def _to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which no name occurs twice."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = collections.Counter(name for name, _ in pairs)
        raise ValueError(f"{names.most_common(1)[0][0]!a:.40} occurs twice in an object")
    return fields


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


async def show_playground(_request: Request) -> Response:
    """GET /: a page to try the model."""
    page = resources.files("codex_jax.sample.serve").joinpath("playground.html")
    return HTMLResponse(page.read_text(encoding="utf-8"))
