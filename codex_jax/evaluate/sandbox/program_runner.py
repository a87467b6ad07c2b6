"""Runs programs on inputs in sandboxes, for stages that need outputs rather than verdicts."""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, Self

from codex_jax import records
from codex_jax.evaluate.sandbox import python_sandbox
from codex_jax.evaluate.sandbox.guest import value_codec
from codex_jax.evaluate.sandbox.packages import describe
from codex_jax.evaluate.sandbox.sandbox import Limits, SandboxInfo, SandboxLostError, check_limits

_ATTEMPTS = 2
_MOST_ITEMS = 1 << 20  # of an answer, those of a list as often as it occurs in it
_PROGRAMS_PER_SANDBOX = 2000
_MEMORY_LOST = "MemoryError"
_ANNOUNCEMENTS = {"started", "ready"}  # before the first answer
# Calls on copies, and answers with copies: nothing in an answer is an argument, or changes one.
_ENTRY_POINT = "_codex_jax_call"
_DRIVER = """
{function}
def _codex_jax_call(*arguments, **named):
    import collections.abc, copy, itertools
    arguments, named = copy.deepcopy((arguments, named))
    value = {function}(*arguments, **named)
    if isinstance(value, collections.abc.Iterator):
        value = list(itertools.islice(value, 100_000))
    try:
        return copy.deepcopy((value, list(arguments)))
    except Exception:
        return value, []
"""

Call = tuple[tuple[Any, ...], dict[str, Any]]  # positional and named arguments


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgramRunner:
    """Opens sessions in which programs run on inputs.

    Args:
      sandbox: gvisor, bubblewrap, or auto: the first of them that passes its self-test.
      timeout_s: CPU seconds that a program may use for all its calls.
      memory_mb: MiB of memory that a program may use.
      packages: Python packages, installed here, that programs may import, such as numpy.
    """

    sandbox: str = "auto"
    timeout_s: float = 3.0
    memory_mb: int = 512
    packages: Sequence[str] = ()

    @contextlib.contextmanager
    def open(self, sandboxes: int = 1) -> Iterator["RunnerSession"]:
        """Opens a session of one thread; its sandboxes' Pythons have hash seeds of their own.

        Raises:
          InputError: no sandbox works here, or the settings are out of range.
        """
        check_limits(self.timeout_s, self.memory_mb)
        packages = describe(self.packages)
        limits = Limits(cpu_s=self.timeout_s, memory_mb=self.memory_mb, packages=packages)
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
        self._encoded: tuple[Sequence[Call], list[str], list[int]] = ((), [], [])
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

        Args:
          source: text of the program.
          entry_point: name of its function.
          calls: positional and named arguments. One and the same sequence for several programs is
            encoded once: it mustn't change in between.
          index: of the sandbox.

        Raises:
          TypeError: an argument isn't plain data.
          InputError: no sandbox works here.
        """
        program = source + _DRIVER.format(function=entry_point)
        reason = ""
        for _ in range(_ATTEMPTS):
            sandbox = self._ensure_open(index)
            try:
                return self._run(sandbox, program, calls)
            except SandboxLostError as lost:
                reason = f"its sandbox was lost: {lost}"
                self._close(index)
            finally:
                self._retire_if_worn(index)
        return records.Run([], 0.0, reason)

    def _run(
        self, sandbox: python_sandbox.PythonSandbox, source: str, calls: Sequence[Call]
    ) -> records.Run:
        forms, numbered = self._encode(calls)
        task = {"entry_point": _ENTRY_POINT, "calls": forms, "limits": self.limits._asdict()}
        try:
            lines, end = sandbox.run(source, task, within_s=30 + 10 * self.limits.cpu_s)
        except python_sandbox.ProgramRefusedError as error:
            return records.Run([], 0.0, str(error))
        sandbox.tainted = sandbox.tainted or end["dirty"] or end["full"]
        answers, reason = _decode_answers(lines, calls, numbered)
        sandbox.tainted = sandbox.tainted or reason.startswith(_MEMORY_LOST)
        if len(answers) < len(calls):
            reason = reason or f"ended early: {end['reason']}, exit {end['exit']}"
        return records.Run(answers, end["cpu_s"], reason)

    def _encode(self, calls: Sequence[Call]) -> tuple[list[str], list[int]]:
        """Returns the calls' texts, and how many containers of each have numbers."""
        if calls is not self._encoded[0]:
            encoders = [value_codec.Encoder(strict=True) for _ in calls]
            forms = [_encode_call(e, *call) for e, call in zip(encoders, calls, strict=True)]
            self._encoded = calls, forms, [len(encoder.objects) for encoder in encoders]
        return self._encoded[1:]

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


def _encode_call(
    encoder: value_codec.Encoder, arguments: tuple[Any, ...], named: dict[str, Any]
) -> str:
    return json.dumps([encoder.encode(list(arguments)), encoder.encode(named)])


def _decode_answers(
    lines: Sequence[bytes], calls: Sequence[Call], numbered: Sequence[int]
) -> tuple[list[records.Answer], str]:
    """Returns the answers, and the reason if there are too few.

    Args:
      lines: Answers as they were sent, after those that say whether the program is there.
      calls: What they answer.
      numbered: How many containers of each call have numbers.
    """
    answers: list[records.Answer] = []
    try:
        for line in lines:
            answer = json.loads(line)
            if "unready" in answer:
                return [], _describe(answer["unready"])
            if not answers and answer.keys() & _ANNOUNCEMENTS:
                continue
            if (index := len(answers)) < len(calls):
                answers.append(_decode_answer(answer, calls[index], numbered[index]))
    except Exception as error:  # noqa: BLE001 - whatever a forged answer leads to
        return answers, f"an answer that isn't plain data: {error}"[:200]
    return answers, ""


def _decode_answer(answer: dict[str, Any], call: Call, count: int) -> records.Answer:
    if "raised" in answer:
        return records.Answer(error=_describe(answer["raised"]))
    decoder = value_codec.Decoder([value_codec.Opaque("argument")] * count, most_items=_MOST_ITEMS)
    value, after = value_codec.call_deeply(decoder.decode, answer["value"])
    value, after = _without_subclasses(value), _without_subclasses(after)
    return records.Answer(value, None if after == list(call[0]) else after)


def _without_subclasses(value: Any) -> Any:
    """Returns a value whose tuples, dicts and the like are builtins: a Counter is a dict."""
    if isinstance(value, dict):
        return {key: _without_subclasses(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_without_subclasses, value))
    return list(map(_without_subclasses, value)) if type(value) is list else value


def _describe(raised: Any) -> str:
    return f"{raised[0]}: {raised[2]}"[:200]
