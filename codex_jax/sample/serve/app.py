"""The HTTP side: routes, keys, limits, streams, and an orderly end."""

import asyncio
import hmac
import itertools
import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codex_jax.sample.serve import completion_request
from codex_jax.sample.serve.completion import Completion
from codex_jax.sample.serve.engine_thread import Driver
from codex_jax.sample.serve.errors import ApiError
from codex_jax.sample.serve.metrics import Metrics
from codex_jax.tokenizer import Tokenizer


class Service:
    """What the routes share.

    Args:
      model: the name clients ask for.
      vocabulary: how many tokens the model knows.
      begin: whether a prompt given as a string begins with end of text.
      keys: whoever has one may ask; everybody where there are none.
    """

    def __init__(
        self,
        driver: Driver,
        text: Tokenizer,
        *,
        model: str,
        vocabulary: int,
        limits: completion_request.Limits,
        begin: bool = True,
        keys: Sequence[str] = (),
    ):
        self.driver, self.text, self.model, self.limits = driver, text, model, limits
        self.vocabulary, self.begin = vocabulary, begin
        self.keys = [key.encode() for key in keys]
        self.metrics = Metrics(driver, model)
        self.created = int(time.time())
        self.active = 0
        self._names = itertools.count()
        self._drained: Callable[[], None] | None = None

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/completions", self.complete, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/v1/models/{name:path}", self.one_model),
                Route("/healthz", self.health),
                Route("/metrics", self.show_metrics),
                Route("/", _playground),
            ],
            exception_handlers={
                ApiError: lambda _, error: error.response(),
                HTTPException: _http_error,
                ClientDisconnect: _nobody,
                Exception: _failed,
            },
            middleware=[Middleware(_Named)],
        )

    @property
    def draining(self) -> bool:
        return self._drained is not None

    def drain(self, then: Callable[[], None]) -> None:
        """Takes nothing more in; calls `then` once what is under way is answered."""
        self._drained = then
        if not self.active:
            then()

    async def complete(self, request: Request) -> Response:
        self._admit(request)
        self.active += 1
        arrived, handed = time.perf_counter(), False
        try:
            completion = await self._read(request)
            if completion.asked.stream:
                handed = True
                events = self._events(completion, arrived)
                return _Events(events, completion.name, self._leave)
            answer = await self._whole(request, completion, arrived)
            return JSONResponse(answer, headers={"x-request-id": completion.name})
        finally:
            if not handed:
                self._leave()

    def _admit(self, request: Request) -> None:
        self._check_key(request)
        if self.driver.failure:
            raise ApiError(500, "the engine has failed; see the server's log")
        if self.draining:
            raise ApiError(503, "the server is shutting down", code="shutting_down", retry=5)
        if not self.driver.ready.is_set():
            raise ApiError(503, "the model is still being compiled", code="loading", retry=5)
        if self.active >= self.limits.requests:
            raise ApiError(
                429,
                f"{self.active} requests are under way already, as many as are taken",
                code="rate_limit_exceeded",
                retry=1,
            )

    def _leave(self) -> None:
        self.active -= 1
        if self._drained and not self.active:
            self._drained()

    async def _read(self, request: Request) -> Completion:
        body = await self._body(request)
        wanted = completion_request.read(
            body, self.text, self.vocabulary, self.limits, begin=self.begin
        )
        self._check_model(body["model"])
        name = f"cmpl-{next(self._names)}-{secrets.token_hex(8)}"
        return Completion(name, self.model, wanted, self.text, self.driver)

    async def _body(self, request: Request) -> Any:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.limits.body:
                raise ApiError(413, f"the body exceeds {self.limits.body} bytes")
        try:
            return json.loads(body.decode(), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ApiError(400, f"the body isn't JSON: {error}") from None

    async def _whole(self, request: Request, completion: Completion, arrived: float) -> dict:
        """The answer; given up where the client is gone."""
        work = asyncio.ensure_future(completion.whole())
        gone = asyncio.ensure_future(_gone(request))
        how = "abort"
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            answer = work.result()
            how = answer["choices"][-1]["finish_reason"]
            return answer
        except ApiError:
            how = "error"
            raise
        finally:
            gone.cancel()
            work.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
            self._ended(completion, how, arrived)

    async def _events(self, completion: Completion, arrived: float) -> AsyncGenerator[str]:
        how, said, first = "abort", "stop", True
        chunks = completion.stream()
        try:
            async for chunk in chunks:
                if first:
                    self.metrics.first_token.observe(time.perf_counter() - arrived)
                    first = False
                for choice in chunk["choices"]:
                    said = choice["finish_reason"] or said
                yield _event(chunk)
            how = said
        except ApiError as error:
            how = "error"
            yield _event(error.body())
        finally:
            await chunks.aclose()
            self._ended(completion, how, arrived)
        yield "data: [DONE]\n\n"

    def _ended(self, completion: Completion, how: str, arrived: float) -> None:
        seconds = time.perf_counter() - arrived
        self.metrics.ended(how, completion.prompt_tokens, completion.completion_tokens, seconds)

    def _check_key(self, request: Request) -> None:
        if not self.keys:
            return
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        known = [hmac.compare_digest(given.strip().encode(), key) for key in self.keys]
        if kind.lower() != "bearer" or not any(known):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    def _check_model(self, name: str) -> None:
        if name != self.model:
            raise ApiError(
                404,
                f"The model `{name}` does not exist; this server has `{self.model}`",
                param="model",
                code="model_not_found",
            )

    @property
    def _card(self) -> dict[str, Any]:
        return {
            "id": self.model,
            "object": "model",
            "created": self.created,
            "owned_by": "codex_jax",
        }

    async def models(self, request: Request) -> Response:
        self._check_key(request)
        return JSONResponse({"object": "list", "data": [self._card]})

    async def one_model(self, request: Request) -> Response:
        self._check_key(request)
        self._check_model(request.path_params["name"])
        return JSONResponse(self._card)

    async def health(self, request: Request) -> Response:
        well = self.driver.ready.is_set() and not self.driver.failure and not self.draining
        loading = "draining" if self.draining else "loading"
        state = "ok" if well else "failed" if self.driver.failure else loading
        return JSONResponse({"status": state}, 200 if well else 503)

    async def show_metrics(self, request: Request) -> Response:
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")


class _Events(StreamingResponse):
    """A stream that ends in order whenever its client leaves, also before the first event."""

    def __init__(self, events: AsyncGenerator[str], name: str, leave: Callable[[], None]):
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "x-request-id": name}
        super().__init__(events, headers=headers, media_type="text/event-stream")
        self._events, self._leave = events, leave

    async def __call__(self, scope, receive, send):
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()
            self._leave()


class _Named:
    """Gives every answer a name in x-request-id, which clients log, unless it has one."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("x-request-id", _name())
            await send(message)

        await self._app(scope, receive, named)


def _name() -> str:
    return f"req-{secrets.token_hex(8)}"


async def _failed(request: Request, error: Exception) -> Response:
    """To whoever finds a bug; this is answered outside all middleware."""
    response = ApiError(500, "internal error").response()
    response.headers["x-request-id"] = _name()
    return response


async def _nobody(request: Request, error: Exception) -> Response:
    """To a client that has hung up."""
    return Response(status_code=499)


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


async def _gone(request: Request) -> None:
    """Returns once the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _http_error(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the API's words."""
    status = getattr(error, "status_code", 500)
    words = {
        404: f"Invalid URL ({request.method} {request.url.path})",
        405: f"Not allowed to {request.method} on {request.url.path}",
    }
    response = ApiError(status, words.get(status, str(error))).response()
    response.headers.update(getattr(error, "headers", None) or {})
    return response


async def _playground(request: Request) -> Response:
    page = resources.files("codex_jax.sample.serve").joinpath("playground.html")
    return HTMLResponse(page.read_text(encoding="utf-8"))
