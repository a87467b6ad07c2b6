"""Decodes the result of one call: a value, or an exception, for the test that made the call."""

import builtins
import errno
from typing import Any

from codex_jax.evaluate.sandbox.guest import value_codec
from codex_jax.evaluate.verdicts import Cause


class ProgramExited(BaseException):
    """The program gives no more answers; no test catches this by accident."""

    def __init__(self, cause: Cause, detail: str):
        super().__init__(detail)
        self.cause, self.detail = cause, detail


class ProgramError(Exception):
    """An exception of the program's that has no builtin name."""


def decode_result(answer: dict[str, Any], arguments: tuple[Any, ...]) -> Any:
    """Returns the value of a call, and changes `arguments` as the program changed its copies.

    Raises:
      Exception: the program's own, as its nearest builtin class.
      ProgramExited: the exception is none, or the answer isn't one of ours.
    """
    try:
        if "raised" in answer:
            exception = _decode_exception(answer["raised"])
        else:
            if "arguments" in answer:
                _copy_back_arguments(arguments, value_codec.decode(answer["arguments"]))
            return value_codec.decode(answer["value"])
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
        detail = f"an answer that isn't plain data: {error}"[:300]
        raise ProgramExited(Cause.PROTOCOL_VIOLATION, detail) from None
    raise exception


def _decode_exception(description: Any) -> Exception:
    cause, detail = classify_exception(description)
    if cause != Cause.EXCEPTION:
        raise ProgramExited(cause, detail)
    exception_type = getattr(builtins, description[0], None)
    if not (isinstance(exception_type, type) and issubclass(exception_type, Exception)):
        exception_type = ProgramError
    try:
        error = exception_type(description[2])
    except TypeError:  # UnicodeDecodeError and its like take more arguments
        error = ProgramError(detail)
    error._of_program = detail  # type: ignore[attr-defined]  # how the judge tells it from others
    return error


def classify_exception(description: Any) -> tuple[Cause, str]:
    """Returns the cause that an exception stands for, and its detail."""
    if not (isinstance(description, list) and len(description) == 4):
        return Cause.PROTOCOL_VIOLATION, "an exception that no program can have raised"
    builtin, name, message, number = description
    detail = f"{name}: {message}"[:300]
    if builtin == "MemoryError" or (builtin == "OSError" and number == errno.ENOMEM):
        return Cause.MEMORY_LIMIT, detail
    if builtin in ("SystemExit", "KeyboardInterrupt", "GeneratorExit"):
        return Cause.EXITED_EARLY, detail
    is_fork_refused = builtin == "BlockingIOError" and number == errno.EAGAIN
    if is_fork_refused or "can't start new thread" in detail:
        return Cause.PROCESS_LIMIT, detail
    return Cause.EXCEPTION, detail


def _copy_back_arguments(arguments: tuple[Any, ...], changed: list[Any]) -> None:
    """Changes the caller's arguments as the program changed its copies."""
    for argument, copy in zip(arguments, changed, strict=True):
        if type(argument) is not type(copy):
            continue
        if isinstance(argument, list | bytearray):
            argument[:] = copy
        elif isinstance(argument, dict | set):
            argument.clear()
            argument.update(copy)
