"""The verdict, reached outside the sandbox.

check(candidate) runs here, in a process of its own; `candidate` is a stand-in that has the
program called in the sandbox and gives back the plain value it returned. Tests, expected values
and the reference solution never enter. Where a reference solution is known, it tells beforehand
which calls a right program will be asked for, and they go in all at once; should the test then
ask for something else (it adapts to answers), the program starts over and is asked call by call.
"""

import builtins
import collections
import contextlib
import copy
import dataclasses
import errno
import json
import math
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from codex_jax.evaluate import compare
from codex_jax.evaluate.inside import values
from codex_jax.evaluate.sandbox import Limits, Sandbox, SandboxLostError

if TYPE_CHECKING:  # loads numpy, whose start-up each judge process would pay for
    from codex_jax import records

_FULL = 75  # the fork server's exit status for answers that don't fit
_SLOWER = 4  # than the reference a program may be on HumanEval+'s inputs
JUDGE_CPU_S = 20.0  # for one check(): its inputs come from strangers
VERDICT_OF = {
    "passed": "passed",
    "wrong_answer": "failed",
    "exception": "failed",
    "syntax_or_compile_error": "failed",
    "time_limit": "timed out",
    "memory_limit": "crashed",
    "output_limit": "crashed",
    "process_limit": "crashed",
    "exited_early": "crashed",
    "protocol_violation": "crashed",
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Why a program passed or didn't; `cause` is a key of VERDICT_OF."""

    cause: str
    detail: str = ""
    cpu_s: float | None = None


class ProgramEnded(BaseException):
    """The program can answer no more; no test may catch this by accident."""

    def __init__(self, cause: str, detail: str):
        super().__init__(detail)
        self.cause, self.detail = cause, detail


class ProgramError(Exception):
    """An exception of the program's that has no builtin name."""


class Diverged(BaseException):
    """The test asked for a call that wasn't foreseen."""


class NotPlainData(BaseException):
    """The test passes something that can't be sent into the sandbox."""


class JudgeTired(BaseException):
    """check() itself has used up its time on the answers."""


class Plan:
    """A problem made ready for judging: its test compiled, the calls it will make foreseen."""

    def __init__(self, problem: "records.Problem"):
        self.entry_point = problem.entry_point
        self.setup = _setup_code(problem)
        self.test = compile(problem.test, "test", "exec", dont_inherit=True)
        self.cases: list[tuple[list, Any]] | None = None
        self.calls: list[str] = []
        self.least_cpu_s, self.least_answer_mb = 0.0, 0
        if "plus_input" in problem.extra:
            self._answer_inputs(problem)
        elif problem.canonical_solution:
            self._foresee()

    def check(self, candidate: Callable | None) -> None:
        """Runs the test on `candidate`, in a world of its own; None means the reference."""
        random.seed(0)  # tests that draw inputs must draw the same ones again
        world = self._world()
        if candidate is None:
            candidate = self._recorder(world[self.entry_point])
        if self.cases is not None:
            return compare.check(candidate, self.entry_point, self.cases, self.tolerance)
        world[self.entry_point] = candidate
        exec(self.test, world)
        if "check" in world:
            world["check"](candidate)

    def _world(self) -> dict[str, Any]:
        world: dict[str, Any] = {"__name__": "judge"}
        if self.setup is not None:
            exec(self.setup, world)
        return world

    def _answer_inputs(self, problem: "records.Problem") -> None:
        """HumanEval+: what the reference says to each input, and what a program needs for it."""
        self.tolerance = float(problem.extra.get("atol", 0))
        inputs = [*problem.extra.get("base_input", []), *problem.extra["plus_input"]]
        self.calls = [encode_call(tuple(given), {}) for given in inputs]
        reference = self._world()[self.entry_point]
        start = time.process_time()
        self.cases = [(given, reference(*copy.deepcopy(given))) for given in inputs]
        self.least_cpu_s = _SLOWER * (time.process_time() - start)
        size = sum(len(json.dumps(values.encode(answer))) for _, answer in self.cases)
        self.least_answer_mb = 2 * size >> 20

    def limits(self, given: Limits) -> Limits:
        """The limits given, or wider ones where the reference itself needs them."""
        return dataclasses.replace(
            given,
            cpu_s=max(given.cpu_s, self.least_cpu_s),
            answer_mb=max(given.answer_mb, self.least_answer_mb),
        )

    def _foresee(self) -> None:
        """Asks the reference; where it fails its own test, the calls up to there are known."""
        with contextlib.suppress(Exception), _patience(JUDGE_CPU_S):
            self.check(None)

    def _recorder(self, reference: Callable) -> Callable:
        def candidate(*arguments: Any, **named: Any) -> Any:
            self.calls.append(encode_call(arguments, named))
            return reference(*arguments, **named)

        return candidate


def _setup_code(problem: "records.Problem") -> Any:
    """The prompt's own definitions (imports and helpers that tests use), reference included."""
    suffix = problem.extra.get("suffix", "")
    bodies = [problem.canonical_solution] if problem.canonical_solution else ["    pass\n", ""]
    for body in bodies:
        with contextlib.suppress(SyntaxError):
            return compile(problem.prompt + body + suffix, "prompt", "exec", dont_inherit=True)
    return None


def encode_call(arguments: tuple, named: dict) -> str:
    """One call as a line of JSON."""
    try:
        plain = [values.encode(list(arguments), strict=True), values.encode(named, strict=True)]
    except TypeError as error:
        raise NotPlainData(str(error)) from None
    return json.dumps(plain)


class Candidate:
    """Stands in for the program: called by check(), answered from the sandbox."""

    def __init__(self, sandbox: Sandbox, plan: Plan, limits: Limits, *, foreseen: bool):
        self.calls = plan.calls if foreseen else []
        self.foreseen = foreseen
        self.sandbox = sandbox
        self.asked = 0
        self.ended: ProgramEnded | None = None
        self.end_frame: dict | None = None
        limits = plan.limits(limits)
        self._wall_s = 10 * limits.cpu_s + 30
        self.limits = limits
        self._lines: collections.deque[bytes] = collections.deque()
        self._unfinished: list[bytes] = []
        job = {"entry_point": plan.entry_point, "calls": self.calls}
        job["limits"] = dataclasses.asdict(limits)
        sandbox.send(b"R", json.dumps(job).encode())

    def start(self) -> None:
        """Waits until the program has been loaded and its function found."""
        answer = self._next()
        if "unready" in answer:
            self._end(*self._cause_of(answer["unready"]))
        if answer != {"ready": True}:
            self._end("protocol_violation", "it answered before it was asked")

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self.ended is not None:
            raise self.ended
        call = encode_call(arguments, named)
        if self.foreseen:
            if self.asked >= len(self.calls) or call != self.calls[self.asked]:
                raise Diverged
        else:
            self.sandbox.send(b"C", call.encode() + b"\n")
        self.asked += 1
        return self._understood(self._next(), arguments)

    def _understood(self, answer: dict, arguments: tuple) -> Any:
        try:
            if "raised" in answer:
                raised = self._exception(answer["raised"])
            else:
                if "arguments" in answer:
                    _alter(arguments, values.decode(answer["arguments"]))
                return values.decode(answer["value"])
        except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
            self._end("protocol_violation", f"an answer that isn't plain data: {error}"[:300])
        raise raised

    def _exception(self, described: Any) -> Exception:
        cause, detail = self._cause_of(described)
        if cause != "exception":
            self._end(cause, detail)
        kind = getattr(builtins, described[0], None)
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            kind = ProgramError
        try:
            error = kind(described[2])
        except TypeError:  # UnicodeDecodeError and its like want more arguments
            error = ProgramError(detail)
        error._of_program = detail  # type: ignore[attr-defined]
        return error

    def _cause_of(self, described: Any) -> tuple[str, str]:
        if not (isinstance(described, list) and len(described) == 4):
            return "protocol_violation", "an exception it can't have raised"
        builtin, name, message, number = described
        detail = f"{name}: {message}"[:300]
        if builtin == "MemoryError" or (builtin == "OSError" and number == errno.ENOMEM):
            return "memory_limit", detail
        if builtin in ("SystemExit", "KeyboardInterrupt", "GeneratorExit"):
            return "exited_early", detail
        if (
            builtin == "BlockingIOError" and number == errno.EAGAIN
        ) or "can't start new thread" in detail:
            return "process_limit", detail
        return "exception", detail

    def _next(self) -> dict:
        """The next answer. Its size is bounded by the fork server's count of bytes."""
        while not self._lines:
            operation, body = self.sandbox.receive_any(within_s=self._wall_s)
            if operation == b"X":
                self.end_frame = json.loads(body)
                self._end(*_cause_of_end(self.end_frame, self.limits))
            *lines, rest = body.split(b"\n")
            if lines:
                self._lines.extend([b"".join(self._unfinished) + lines[0], *lines[1:]])
                self._unfinished = []
            self._unfinished.append(rest)
        try:
            answer = json.loads(self._lines.popleft())
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            self._end("protocol_violation", "an answer that isn't one of ours")
        return answer

    def _end(self, cause: str, detail: str) -> None:
        self.ended = ProgramEnded(cause, detail)
        raise self.ended

    def finish(self) -> dict:
        """Ends the program, if it hasn't, and tells how it ended."""
        if self.end_frame is None:
            self.sandbox.send(b"E")
            while True:
                operation, body = self.sandbox.receive_any(within_s=self._wall_s)
                if operation == b"X":
                    self.end_frame = json.loads(body)
                    break
        return self.end_frame


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


def _cause_of_end(end: dict, limits: Limits) -> tuple[str, str]:
    if end["why"] in ("cpu", "wall") or end["cpu_s"] >= limits.cpu_s:
        return "time_limit", f"{end['cpu_s']:.1f} s of CPU in {end['wall_s']:.1f} s"
    if end["exit"] == _FULL:
        return "output_limit", f"more than {limits.answer_mb} MiB of answers"
    if end["signal"] == signal.SIGKILL and end["why"] == "closed":
        return "exited_early", "it closed its channel, or was killed"
    if end["signal"]:
        return "exited_early", f"killed by {signal.Signals(end['signal']).name}"
    return "exited_early", f"exit status {end['exit']} before it had answered"


@contextlib.contextmanager
def _patience(cpu_s: float) -> Iterator[None]:
    """Raises JudgeTired after so many CPU seconds of this process."""

    def tired(*_: object) -> None:
        raise JudgeTired

    previous = signal.signal(signal.SIGPROF, tired)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def digest(sandbox: Sandbox, source: str) -> tuple[str, str]:
    """Parses in the sandbox: (digest of the syntax tree, ""), or ("", why it doesn't parse)."""
    sandbox.send(b"P", source.encode("utf-8", "surrogatepass"))
    operation, body = sandbox.receive_any(within_s=60.0)
    if operation == b"D":
        return body.hex(), ""
    return "", body.decode("utf-8", "replace")


def judge(sandbox: Sandbox, plan: Plan, limits: Limits) -> Outcome:
    """The outcome of the program parsed last; `sandbox.soiled` tells whether to make a new one.

    Raises:
      SandboxLostError: the sandbox went down; nothing is known of the program.
    """
    try:
        return _attempt(sandbox, plan, limits, foreseen=bool(plan.calls))
    except Diverged:
        return _attempt(sandbox, plan, limits, foreseen=False)


def _attempt(sandbox: Sandbox, plan: Plan, limits: Limits, *, foreseen: bool) -> Outcome:
    candidate = Candidate(sandbox, plan, limits, foreseen=foreseen)
    try:
        with _patience(JUDGE_CPU_S):
            cause, detail = _verdict(candidate, plan)
    finally:
        end = candidate.finish()
        sandbox.soiled = sandbox.soiled or end["dirty"]
    cpu_s = end["cpu_s"]
    if (
        cause in ("passed", "wrong_answer")
        and cpu_s > candidate.limits.cpu_s + 1
        and math.isfinite(cpu_s)
    ):
        cause, detail = "time_limit", f"{cpu_s:.1f} s of CPU over all its processes"
    return Outcome(cause, detail, round(cpu_s, 4))


def _verdict(candidate: Candidate, plan: Plan) -> tuple[str, str]:
    try:
        candidate.start()
        plan.check(candidate)
    except (Diverged, SandboxLostError):
        raise
    except ProgramEnded as ended:
        return ended.cause, ended.detail
    except JudgeTired:
        return "protocol_violation", "its answers kept the test busy"
    except NotPlainData as error:  # the reference was asked plainly: this came from the program
        return "wrong_answer", f"the test passed on an answer that isn't plain data: {error}"
    except BaseException as error:
        if candidate.ended is None:
            return _failure(error)
    if candidate.ended is not None:
        return candidate.ended.cause, candidate.ended.detail
    return "passed", ""


def _failure(error: BaseException) -> tuple[str, str]:
    """check() didn't return: through the program's own exception, or its answer was wrong."""
    if detail := getattr(error, "_of_program", ""):
        return "exception", detail
    if isinstance(error, AssertionError):
        return "wrong_answer", str(error)[:300]
    return "wrong_answer", f"the test met {type(error).__name__}: {error}"[:300]
