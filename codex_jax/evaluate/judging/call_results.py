"""Calls of a program, and its answers: values and exceptions, for the test that made the call."""

import builtins
import contextlib
import errno
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from codex_jax.evaluate.sandbox import packages
from codex_jax.evaluate.sandbox.guest import value_codec
from codex_jax.evaluate.verdicts import Cause


class ProgramExited(BaseException):
    """The program gives no more answers; no test catches this by accident."""

    def __init__(self, cause: Cause, detail: str):
        super().__init__(detail)
        self.cause, self.detail = cause, detail


class ProgramError(Exception):
    """An exception of the program's that has no builtin name."""


class UnserializableValue(BaseException):
    """The test passes an argument that can't be sent into the sandbox."""


class Caller:
    """Calls a program: encodes calls, and decodes answers.

    Args:
      ask: returns the answer to a call in JSON.
      find_class: returns the exception class of a module and a name, or None.
      shared: whether the program is told which arguments are one object.
    """

    def __init__(
        self,
        ask: Callable[[str], dict[str, Any]],
        find_class: Callable[[str, str], type | None],
        *,
        shared: bool = True,
    ):
        self.ask, self.find_class, self.shared = ask, find_class, shared
        self.iterators: dict[int, Iterator[Any]] = {}
        self.inexact = ""  # the class of an answer that was decoded approximately
        self.stopped: ProgramExited | UnserializableValue | None = None  # if a test catches it

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Returns the value of a call, and changes the arguments as the program changed its copies.

        Raises:
          Exception: the program's own, or its nearest builtin class.
          ProgramExited: the exception is none, or the answer isn't one of ours.
          UnserializableValue: an argument isn't plain data.
        """
        try:
            call, objects = encode_call(arguments, named, shared=self.shared)
        except UnserializableValue as refused:
            self.stopped = self.stopped or refused
            raise
        return self._run(call, objects)

    def _run(self, call: str, objects: Sequence[Any]) -> Any:
        if self.stopped:
            raise self.stopped
        try:
            answer = self.ask(call)
            value = value_codec.call_deeply(self._decode, answer, objects)
        except ProgramExited as stopped:
            self.stopped = stopped
            raise
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a forged answer leads to
            detail = f"an answer that isn't plain data: {error}"[:300]
            self.stopped = ProgramExited(Cause.PROTOCOL_VIOLATION, detail)
            raise self.stopped from None
        if "raised" in answer:
            raise value
        return value

    def _decode(self, answer: dict[str, Any], objects: Sequence[Any]) -> Any:
        def find_iterator(number: int) -> Iterator[Any]:
            draw = functools.partial(self._run, json.dumps({"next": number}), objects)
            return self.iterators.setdefault(number, DrawnIterator(draw))

        decoder = value_codec.Decoder(objects, find_iterator=find_iterator)
        if "changed" in answer:
            for container, form in zip(objects, answer["changed"], strict=True):
                decoder.refill(container, form)
        if "raised" in answer:
            value = self._decode_exception(decoder, answer["raised"])
        else:
            value = decoder.decode(answer["value"])
        self.inexact = self.inexact or decoder.inexact
        return value

    def _decode_exception(self, decoder: value_codec.Decoder, description: Any) -> Exception:
        cause, detail = classify_exception(description)
        if cause != Cause.EXCEPTION:
            raise ProgramExited(cause, detail)
        classes, args, attributes = [], (description[2],), {}
        if len(description) == 5:
            classes, *forms = description[4]
            args, attributes = map(decoder.decode, forms)
        error = self._create_exception(classes, description, args)
        vars(error).update(attributes)
        vars(error)["_of_program"] = detail  # how the judge tells it from others
        return error

    def _create_exception(self, classes: list, description: list, args: tuple) -> Exception:
        """Returns an exception of the first class that is here, too, or of the builtin one."""
        for module, name in classes:
            if own := self.find_class(module, name):
                return own.__new__(own, *args)
        if classes:
            self.inexact = self.inexact or classes[0][1]
        builtin = getattr(builtins, description[0], None)
        if isinstance(builtin, type) and issubclass(builtin, Exception):
            with contextlib.suppress(TypeError):
                return builtin(*args)
        return ProgramError(description[2])


def encode_call(arguments: tuple, named: dict, *, shared: bool = True) -> tuple[str, list[Any]]:
    """Returns a call in JSON, and the containers in it in the order of their numbers.

    Raises:
      UnserializableValue: an argument isn't plain data.
    """
    encoder = value_codec.Encoder(strict=True, shared=shared)

    def encode() -> str:
        return json.dumps([encoder.encode(list(arguments)), encoder.encode(named)])

    try:
        return value_codec.call_deeply(encode), encoder.objects
    except (TypeError, RecursionError) as error:
        raise UnserializableValue(str(error)) from None


class DrawnIterator:
    """An iterator of the program's: each item is drawn there when the test asks for it."""

    def __init__(self, draw: Callable[[], Any]):
        self._draw = draw

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self._draw()


def classify_exception(description: Any) -> tuple[Cause, str]:
    """Returns the cause that an exception stands for, and its detail."""
    if not (isinstance(description, list) and len(description) in (4, 5)):
        return Cause.PROTOCOL_VIOLATION, "an exception that no program can have raised"
    builtin, name, message, number = description[:4]
    detail = f"{name}: {message}"[:300]
    if builtin == "MemoryError" or (builtin == "OSError" and number == errno.ENOMEM):
        return Cause.MEMORY_LIMIT, detail
    if builtin in ("SystemExit", "KeyboardInterrupt", "GeneratorExit"):
        return Cause.EXITED_EARLY, detail
    if builtin in ("ImportError", "ModuleNotFoundError"):
        detail += packages.hint(str(message))
    is_fork_refused = builtin == "BlockingIOError" and number == errno.EAGAIN
    if is_fork_refused or "can't start new thread" in detail:
        return Cause.PROCESS_LIMIT, detail
    return Cause.EXCEPTION, detail
