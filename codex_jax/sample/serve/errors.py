"""Errors in the form of OpenAI's API: {"error": {message, type, param, code}}."""

from starlette.responses import JSONResponse

_TYPES = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}


class ApiError(Exception):
    """A response other than 200.

    Args:
      status: HTTP status.
      message: A line for people.
      param: The invalid field of the request.
      code: A word for programs.
      retry: Seconds after which to try again.
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
        """The response's JSON."""
        error = {
            "message": _escape_surrogates(str(self)),
            "type": _TYPES.get(self.status, "invalid_request_error"),
            "param": self.param and _escape_surrogates(self.param),
            "code": self.code,
        }
        return {"error": error}

    def response(self) -> JSONResponse:
        """The response."""
        headers = {"Retry-After": str(self.retry)} if self.retry else {}
        if self.status in (408, 413):  # the rest of the body isn't read
            headers["Connection"] = "close"
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(), self.status, headers=headers)


def _escape_surrogates(text: str) -> str:
    """Text quoted from a request may contain half a surrogate pair, which can't be encoded."""
    return text.encode(errors="backslashreplace").decode()
