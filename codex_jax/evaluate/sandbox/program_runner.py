"""Runs programs on inputs in sandboxes, for stages that need outputs rather than verdicts."""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, Self

from codex_jax import InputError, records
from codex_jax.evaluate.sandbox import protocol, python_sandbox
from codex_jax.evaluate.sandbox.guest import value_codec
from codex_jax.evaluate.sandbox.sandbox import Limits, SandboxInfo, SandboxLostError

_ATTEMPTS = 2
_PROGRAMS_PER_SANDBOX = 2000
_MEMORY_LOST = "MemoryError"

Call = tuple[tuple[Any, ...], dict[str, Any]]  # positional and named arguments


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgramRunner:
    """Opens sessions in which programs run on inputs.

    Args:
      sandbox: gvisor, bubblewrap, or auto: the first of them that passes its self-test.
      timeout_s: CPU seconds that a program may use for all its calls.
      memory_mb: MiB of memory that a program may use.
    """

    sandbox: str = "auto"
    timeout_s: float = 3.0
    memory_mb: int = 512

    @contextlib.contextmanager
    def open(self, sandboxes: int = 1) -> Iterator["RunnerSession"]:
        """Opens a session of one thread; its sandboxes' Pythons have hash seeds of their own.

        Raises:
          InputError: no sandbox works here, or the settings are no positive numbers.
        """
        if self.timeout_s <= 0 or self.memory_mb < 64:
            raise InputError(
                f"timeout_s={self.timeout_s}, memory_mb={self.memory_mb}; expected a positive "
                "number and at least 64 MiB; set them so"
            )
        limits = Limits(cpu_s=self.timeout_s, memory_mb=self.memory_mb)
        with RunnerSession(self.sandbox, limits, sandboxes) as session:
            yield session


class RunnerSession:
    """Several Python sandboxes, each started when it is first needed; a context manager.

    Args:
      backend: name of the sandbox.
      limits: limits of each program.
      sandboxes: how many there are.
    """

    def __init__(self, backend: str, limits: Limits, sandboxes: int):
        self.backend, self.limits = backend, limits
        self._info: SandboxInfo | None = None
        self._sandboxes: list[python_sandbox.PythonSandbox | None] = [None] * sandboxes
        self._programs = [0] * sandboxes
        self._scratch = pathlib.Path(tempfile.mkdtemp(prefix="codex-jax-runner-"))
        self._scratch.chmod(0o755)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for index in range(len(self._sandboxes)):
            self._close(index)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def run(
        self, source: str, entry_point: str, calls: Sequence[Call], *, index: int = 0
    ) -> records.Run:
        """Runs a program in the sandbox of that index and returns its answers to the calls.

        Raises:
          TypeError: an argument isn't plain data.
          InputError: no sandbox works here.
        """
        forms = [_encode_call(*call) for call in calls]
        reason = ""
        for _ in range(_ATTEMPTS):
            sandbox = self._ensure_open(index)
            try:
                return self._run(sandbox, source, {"entry_point": entry_point, "calls": forms})
            except SandboxLostError as lost:
                reason = f"its sandbox was lost: {lost}"
                self._close(index)
            finally:
                self._retire_if_worn(index)
        return records.Run([], 0.0, reason)

    def _run(
        self, sandbox: python_sandbox.PythonSandbox, source: str, task: dict[str, Any]
    ) -> records.Run:
        digest, error = sandbox.compile(source)
        if not digest:
            return records.Run([], 0.0, error)
        sandbox.set_calls(task | {"limits": self.limits._asdict()})
        sandbox.start_program(live=False)
        lines, end = _receive_all(sandbox, within_s=30 + 10 * self.limits.cpu_s)
        sandbox.tainted = sandbox.tainted or end["dirty"] or end["full"]
        answers, reason = _decode_answers(lines)
        sandbox.tainted = sandbox.tainted or reason.startswith(_MEMORY_LOST)
        if len(answers) < len(task["calls"]):
            reason = reason or f"ended early: {end['reason']}, exit {end['exit']}"
        return records.Run(answers, end["cpu_s"], reason)

    def _ensure_open(self, index: int) -> python_sandbox.PythonSandbox:
        sandbox = self._sandboxes[index]
        if sandbox is None:
            start = (self._scratch, self.limits)
            if self._info is None:
                sandbox = python_sandbox.open_first_working(self.backend, *start)
                self._info = sandbox.info
            else:
                sandbox = python_sandbox.PythonSandbox(self._info, *start).start()
            self._sandboxes[index] = sandbox
        return sandbox

    def _retire_if_worn(self, index: int) -> None:
        self._programs[index] += 1
        sandbox = self._sandboxes[index]
        if sandbox and (sandbox.tainted or self._programs[index] >= _PROGRAMS_PER_SANDBOX):
            self._close(index)

    def _close(self, index: int) -> None:
        sandbox, self._sandboxes[index] = self._sandboxes[index], None
        self._programs[index] = 0
        if sandbox is not None:
            sandbox.stop()


def _encode_call(arguments: tuple[Any, ...], named: dict[str, Any]) -> str:
    encode = value_codec.encode
    return json.dumps([encode(list(arguments), strict=True), encode(named, strict=True)])


def _receive_all(
    sandbox: python_sandbox.PythonSandbox, *, within_s: float
) -> tuple[list[bytes], dict[str, Any]]:
    """Returns the lines that a program answered, and how it ended."""
    answers = b""
    while True:
        message, body = sandbox.receive_any(within_s=within_s)
        if message == protocol.ENDED:
            end, _, last = body.partition(b"\n")
            return (answers + last).split(b"\n")[:-1], json.loads(end)
        answers += body


def _decode_answers(lines: Sequence[bytes]) -> tuple[list[records.Answer], str]:
    """Returns the answers, and the reason if there is none to return."""
    answers: list[records.Answer] = []
    errors = (ValueError, TypeError, KeyError, ArithmeticError, RecursionError)
    for number, line in enumerate(lines):
        try:
            answer = json.loads(line)
            if "unready" in answer:
                return [], _describe(answer["unready"])
            if number:  # the first says that it is ready
                answers.append(_decode_answer(answer))
        except errors as error:
            return answers, f"an answer that isn't plain data: {error}"[:200]
    return answers, ""


def _decode_answer(answer: dict[str, Any]) -> records.Answer:
    if "raised" in answer:
        return records.Answer(error=_describe(answer["raised"]))
    value = value_codec.decode(answer["value"])
    if isinstance(answer["value"], dict) and "iterator" in answer["value"]:
        value = list(value)
    changed = answer.get("arguments")
    return records.Answer(value, None if changed is None else value_codec.decode(changed))


def _describe(raised: Any) -> str:
    return f"{raised[0]}: {raised[2]}"[:200]
