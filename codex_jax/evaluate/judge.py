"""The verdict, reached outside the sandbox.

check(candidate) runs here, in a process of its own; `candidate` is a stand-in that has the
program called in the sandbox and gives back the plain value it returned. Tests, expected values
and the reference solution never enter. Where a reference solution is known, it tells beforehand
which calls a right program will be asked for, and they go in all at once; should the test then
ask for something else (it adapts to answers), the program starts over and is asked call by call.
"""

import builtins
import collections
import dataclasses
import errno
import json
import math
import signal
from typing import Any

from codex_jax.evaluate.inside import values
from codex_jax.evaluate.plan import (
    Diverged,
    JudgeTired,
    NotPlainData,
    Plan,
    encode_call,
    patience,
)
from codex_jax.evaluate.sandbox import Limits, Sandbox, SandboxLostError

_FULL = 75  # the fork server's exit status for answers that don't fit
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
    "infra_error": "infra_error",  # our trouble, not the program's: it has no verdict
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


class Candidate:
    """Stands in for the program: called by check(), answered from the sandbox."""

    def __init__(self, sandbox: Sandbox, plan: Plan, limits: Limits, *, foreseen: bool):
        self.calls = list(plan.calls) if foreseen else []
        self.live = not (foreseen and plan.complete)
        self.sandbox = sandbox
        self.asked, self.diverged = 0, False
        self.ended: ProgramEnded | None = None
        self.end_frame: dict | None = None
        self.limits = plan.limits(limits)
        self._wall_s = 10 * self.limits.cpu_s + 30
        self._lines: collections.deque[bytes] = collections.deque()
        self._unfinished: list[bytes] = []
        sandbox.foresee(plan.entry_point, self.calls)
        job = {"live": self.live, "limits": dataclasses.asdict(self.limits)}
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
        foreseen = self.asked < len(self.calls)
        if (foreseen and call != self.calls[self.asked]) or not (foreseen or self.live):
            self.diverged = True
            raise Diverged
        if not foreseen:
            self.sandbox.send(b"C", call.encode() + b"\n")
            self.calls.append(call)
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
            if self.end_frame is not None:
                self._end(*_cause_of_end(self.end_frame, self.limits))
            operation, body = self.sandbox.receive_any(within_s=self._wall_s)
            if operation == b"X":
                end, _, body = body.partition(b"\n")
                self.end_frame = json.loads(end)
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
                    self.end_frame = json.loads(body.partition(b"\n")[0])
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
        return _attempt(sandbox, plan, limits, foreseen=True)
    except Diverged:
        return _attempt(sandbox, plan, limits, foreseen=False)


def _attempt(sandbox: Sandbox, plan: Plan, limits: Limits, *, foreseen: bool) -> Outcome:
    candidate = Candidate(sandbox, plan, limits, foreseen=foreseen)
    try:
        with patience(JUDGE_CPU_S):
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
    if cause == "passed" and candidate.live:
        plan.learn(candidate.calls[: candidate.asked])
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
        if candidate.ended is None and not candidate.diverged:
            return _failure(error)
    if candidate.diverged:
        raise Diverged  # the test had caught it
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
