"""Responses besides a completion's JSON: event streams, request ids, and errors."""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codex_jax.sample.serve.errors import ApiError


class EventStreamResponse(StreamingResponse):
    """A stream of server-sent events, closed in order whenever its client disconnects.

    Args:
      events: Encoded events.
      request_id: For the x-request-id header.
      on_end: Called once the stream has ended, also if it never began.
      seconds: A client that takes nothing for so long has disconnected.
    """

    def __init__(
        self,
        events: AsyncGenerator[str],
        request_id: str,
        on_end: Callable[[], None],
        seconds: float,
    ):
        headers = {
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",
            "x-request-id": request_id,
        }
        super().__init__(events, headers=headers, media_type="text/event-stream")
        self._events, self._on_end, self._seconds = events, on_end, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._seconds):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        except* (ClientDisconnect, TimeoutError):  # some versions of starlette raise groups
            print("a client took nothing of its stream; it was closed", file=sys.stderr, flush=True)
        finally:
            await self._events.aclose()
            self._on_end()


def encode_event(value: dict[str, Any]) -> str:
    """A server-sent event with JSON data."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


class RequestIdMiddleware:
    """Adds the x-request-id header, which clients log, to responses without one."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application with the header added."""

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("x-request-id", _request_id())
            await send(message)

        await self._app(scope, receive, send_with_id)


def _request_id() -> str:
    return f"req-{secrets.token_hex(8)}"


async def internal_error(_request: Request, _error: Exception) -> Response:
    """The response to a bug; it runs outside the middleware, so it sets x-request-id itself."""
    response = ApiError(500, "internal error").response()
    response.headers["x-request-id"] = _request_id()
    return response


async def client_closed(_request: Request, _error: Exception) -> Response:
    """The response to a client that has disconnected, nginx's 499."""
    return Response(status_code=499)


async def http_error(request: Request, error: Exception) -> Response:
    """The response to unknown paths and methods, in OpenAI's words."""
    status = getattr(error, "status_code", 500)
    messages = {
        404: f"Invalid URL ({request.method} {request.url.path})",
        405: f"Not allowed to {request.method} on {request.url.path}",
    }
    response = ApiError(status, messages.get(status, str(error))).response()
    response.headers.update(getattr(error, "headers", None) or {})
    return response


async def wait_for_disconnect(request: Request) -> None:
    """Returns once the client has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
