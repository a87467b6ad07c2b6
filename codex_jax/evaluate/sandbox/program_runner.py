"""Runs programs on inputs in sandboxes, for stages that need outputs rather than verdicts."""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

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
# Calls on copies: what an answer shares with the call is immutable all through.
_ENTRY_POINT = "_codex_jax_call"
_DRIVER = """
{function}
def _codex_jax_call(*arguments, **named):
    import collections.abc, copy, itertools
    arguments, named = copy.deepcopy((arguments, named))
    value = {function}(*arguments, **named)
    if isinstance(value, collections.abc.Iterator):
        value = list(itertools.islice(value, 100_000))
    return value, list(arguments)
"""

Call = tuple[tuple[Any, ...], dict[str, Any]]  # positional and named arguments


class _EncodedCalls(NamedTuple):
    """Calls as the guest reads them, with their containers by the guest's numbers."""

    calls: Sequence[Call]
    texts: list[str]
    decoders: list[value_codec.Decoder]


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
        python_sandbox.check_name(self.sandbox)
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
        self._encoded = _EncodedCalls((), [], [])
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
          calls: positional and named arguments; a container that occurs twice is two containers
            for the program. One and the same sequence for several programs is encoded once: it
            mustn't change in between.
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
        encoded = self._encode(calls)
        limits = self.limits._asdict()
        task = {"entry_point": _ENTRY_POINT, "calls": encoded.texts, "limits": limits}
        try:
            lines, end = sandbox.run(source, task, within_s=30 + 10 * self.limits.cpu_s)
        except python_sandbox.ProgramRefusedError as error:
            return records.Run([], 0.0, str(error))
        sandbox.tainted = sandbox.tainted or end["dirty"] or end["full"]
        answers, reason = _decode_answers(lines, encoded)
        sandbox.tainted = sandbox.tainted or reason.startswith(_MEMORY_LOST)
        if len(answers) < len(calls):
            reason = reason or f"ended early: {end['reason']}, exit {end['exit']}"
        return records.Run(answers, end["cpu_s"], reason)

    def _encode(self, calls: Sequence[Call]) -> _EncodedCalls:
        if calls is not self._encoded.calls:
            forms = [_encode_call(*call) for call in calls]
            self._encoded = _EncodedCalls(calls, list(map(json.dumps, forms)), _decoders(forms))
        return self._encoded

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


def _encode_call(arguments: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
    encoder = value_codec.Encoder(strict=True, shared=False)
    return [encoder.encode(list(arguments)), encoder.encode(named)]


def _decoders(forms: Sequence[list[Any]]) -> list[value_codec.Decoder]:
    """Returns decoders that have numbered the containers of calls as the guest's have."""
    decoders = []
    for form in forms:
        decoder = value_codec.Decoder()
        value_codec.call_deeply(decoder.items, form)
        decoder.objects = list(map(_shared_with_answers, decoder.objects))
        decoders.append(decoder)
    return decoders


def _shared_with_answers(container: Any) -> Any:
    """Returns a container of a call if answers may hold it: the program got copies of the others.

    A copy of a tuple whose items are immutable all through is the tuple itself.
    """
    try:
        hash(container)
    except TypeError:
        return value_codec.Opaque("argument")
    return container


def _decode_answers(
    lines: Sequence[bytes], encoded: _EncodedCalls
) -> tuple[list[records.Answer], str]:
    """Returns the answers, and the reason if there are too few.

    Args:
      lines: Answers as they were sent, after those that say whether the program is there.
      encoded: What they answer.
    """
    answers: list[records.Answer] = []
    try:
        for line in lines:
            answer = json.loads(line)
            if "unready" in answer:
                return [], _describe(answer["unready"])
            if not answers and answer.keys() & _ANNOUNCEMENTS:
                continue
            if (index := len(answers)) < len(encoded.calls):
                (arguments, _), decoder = encoded.calls[index], encoded.decoders[index]
                answers.append(_decode_answer(answer, arguments, decoder))
    except Exception as error:  # noqa: BLE001 - whatever a forged answer leads to
        return answers, f"an answer that isn't plain data: {error}"[:200]
    return answers, ""


def _decode_answer(
    answer: dict[str, Any], arguments: Sequence[Any], of_call: value_codec.Decoder
) -> records.Answer:
    """Returns an answer; its error says so where a container holds itself."""
    if "raised" in answer:
        return records.Answer(error=_describe(answer["raised"]))
    decoder = value_codec.Decoder(of_call.objects, most_items=_MOST_ITEMS)
    decoder.weights = list(of_call.weights)
    value, after = value_codec.call_deeply(decoder.decode, answer["value"])
    try:
        value, after = _without_subclasses(value), _without_subclasses(after)
        return records.Answer(value, None if after == list(arguments) else after)
    except RecursionError:
        return records.Answer(error="RecursionError: a value that is too deep, or in itself")


def _without_subclasses(value: Any) -> Any:
    """Returns a value whose tuples, dicts and the like are builtins: a Counter is a dict."""
    if isinstance(value, dict):
        return {key: _without_subclasses(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_without_subclasses, value))
    return list(map(_without_subclasses, value)) if type(value) is list else value


def _describe(raised: Any) -> str:
    return f"{raised[0]}: {raised[2]}"[:200]
