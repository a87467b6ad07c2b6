"""What one answer of a program means to the test that asked: a value, or an exception."""

import builtins
import errno
from typing import Any

from codex_jax.evaluate.sandbox.guest import value_codec
from codex_jax.evaluate.verdicts import Cause


class ProgramEnded(BaseException):
    """The program can answer no more; no test may catch this by accident."""

    def __init__(self, cause: Cause, detail: str):
        super().__init__(detail)
        self.cause, self.detail = cause, detail


class ProgramError(Exception):
    """An exception of the program's that has no builtin name."""


def understood(answer: dict, arguments: tuple) -> Any:
    """The value a call gave, `arguments` changed as the program changed its copies.

    Raises:
      Exception: the program's own, as its nearest builtin class.
      ProgramEnded: it is none, or not an answer at all.
    """
    try:
        if "raised" in answer:
            raised = _exception(answer["raised"])
        else:
            if "arguments" in answer:
                _alter(arguments, value_codec.decode(answer["arguments"]))
            return value_codec.decode(answer["value"])
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
        detail = f"an answer that isn't plain data: {error}"[:300]
        raise ProgramEnded(Cause.PROTOCOL_VIOLATION, detail) from None
    raise raised


def _exception(described: Any) -> Exception:
    cause, detail = cause_of(described)
    if cause != Cause.EXCEPTION:
        raise ProgramEnded(cause, detail)
    kind = getattr(builtins, described[0], None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = ProgramError
    try:
        error = kind(described[2])
    except TypeError:  # UnicodeDecodeError and its like want more arguments
        error = ProgramError(detail)
    error._of_program = detail  # type: ignore[attr-defined]
    return error


def cause_of(described: Any) -> tuple[Cause, str]:
    """The cause an exception stands for, and its detail."""
    if not (isinstance(described, list) and len(described) == 4):
        return Cause.PROTOCOL_VIOLATION, "an exception it can't have raised"
    builtin, name, message, number = described
    detail = f"{name}: {message}"[:300]
    if builtin == "MemoryError" or (builtin == "OSError" and number == errno.ENOMEM):
        return Cause.MEMORY_LIMIT, detail
    if builtin in ("SystemExit", "KeyboardInterrupt", "GeneratorExit"):
        return Cause.EXITED_EARLY, detail
    no_process = builtin == "BlockingIOError" and number == errno.EAGAIN
    if no_process or "can't start new thread" in detail:
        return Cause.PROCESS_LIMIT, detail
    return Cause.EXCEPTION, detail


def _alter(arguments: tuple, changed: list) -> None:
    """Makes the caller's arguments what the program made of its copies."""
    for mine, theirs in zip(arguments, changed, strict=True):
        if type(mine) is not type(theirs):
            continue
        if isinstance(mine, list | bytearray):
            mine[:] = theirs
        elif isinstance(mine, dict | set):
            mine.clear()
            mine.update(theirs)
