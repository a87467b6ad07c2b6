"""Refusals in the words of OpenAI's API: {"error": {message, type, param, code}}."""

from starlette.responses import JSONResponse

_TYPES = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}


class ApiError(Exception):
    """An answer other than 200.

    Args:
      param: the field of the request that is wrong.
      code: a word for programs to look at.
      retry: seconds after which to ask again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry: int | None = None,
    ):
        super().__init__(message)
        self.status, self.param, self.code, self.retry = status, param, code, retry

    def body(self) -> dict:
        kind = _TYPES.get(self.status, "invalid_request_error")
        param = self.param and _sound(self.param)
        return {
            "error": {"message": _sound(str(self)), "type": kind, "param": param, "code": self.code}
        }

    def response(self) -> JSONResponse:
        headers = {"Retry-After": str(self.retry)} if self.retry else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(), self.status, headers=headers)


def _sound(text: str) -> str:
    """Quoted from a request, it may hold half a surrogate pair, which can't be sent."""
    return text.encode(errors="backslashreplace").decode()
