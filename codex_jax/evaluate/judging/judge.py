"""The verdict, reached outside the sandbox.

check(candidate) runs here, in a process of its own; `candidate` is a stand-in that has the
program called in the sandbox and gives back the plain value it returned. Tests, expected values
and the reference solution never enter. Where a reference solution is known, it tells beforehand
which calls a right program will be asked for, and they go in all at once; should the test then
ask for something else (it adapts to answers), the program starts over and is asked call by call.
"""

import collections
import json
import math
import signal
from typing import Any

from codex_jax.evaluate.judging.call_results import ProgramEnded, cause_of, understood
from codex_jax.evaluate.judging.check_plan import (
    Diverged,
    JudgeTired,
    NotPlainData,
    Plan,
    encode_call,
    patience,
)
from codex_jax.evaluate.sandbox.sandbox import Limits, Sandbox, SandboxLostError
from codex_jax.evaluate.verdicts import Cause, Outcome

JUDGE_CPU_S = 20.0  # for one check(): its inputs come from strangers


class Candidate:
    """Stands in for the program: called by check(), answered from the sandbox."""

    def __init__(self, sandbox: Sandbox, calls: list[str], limits: Limits, *, live: bool):
        self.calls, self.live = list(calls), live
        self.sandbox, self.limits = sandbox, limits
        self.asked, self.diverged = 0, False
        self.ended: ProgramEnded | None = None
        self.end_frame: dict | None = None
        self._wall_s = 10 * limits.cpu_s + 30
        self._lines: collections.deque[bytes] = collections.deque()
        self._unfinished: list[bytes] = []

    def start(self) -> None:
        """Waits until the program has been loaded and its function found."""
        answer = self._next()
        if "unready" in answer:
            self._end(*cause_of(answer["unready"]))
        if answer != {"ready": True}:
            self._end(Cause.PROTOCOL_VIOLATION, "it answered before it was asked")

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
        try:
            return understood(self._next(), arguments)
        except ProgramEnded as ended:
            self.ended = ended
            raise

    def _next(self) -> dict:
        """The next answer. Its size is bounded by the fork server's count of bytes."""
        while not self._lines:
            if self.end_frame is not None:
                self._end(*_cause_of_end(self.end_frame, self.limits))
            self.take(self.receive())
        try:
            answer = json.loads(self._lines.popleft())
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            self._end(Cause.PROTOCOL_VIOLATION, "an answer that isn't one of ours")
        return answer

    def receive(self) -> bytes:
        """Answers, as they came; with the last of them, how it ended."""
        operation, body = self.sandbox.receive_any(within_s=self._wall_s)
        if operation == b"X":
            end, _, body = body.partition(b"\n")
            self.end_frame = json.loads(end)
        return body

    def take(self, answers: bytes) -> None:
        *lines, rest = answers.split(b"\n")
        if lines:
            self._lines.extend([b"".join(self._unfinished) + lines[0], *lines[1:]])
            self._unfinished = []
        self._unfinished.append(rest)

    def _end(self, cause: Cause, detail: str) -> None:
        self.ended = ProgramEnded(cause, detail)
        raise self.ended

    def finish(self) -> dict:
        """Ends the program, if it hasn't, and tells how it ended."""
        if self.end_frame is None:
            self.sandbox.send(b"E")
        while self.end_frame is None:
            self.receive()
        return self.end_frame


def _cause_of_end(end: dict, limits: Limits) -> tuple[Cause, str]:
    if end["why"] in ("cpu", "wall") or end["cpu_s"] >= limits.cpu_s:
        return Cause.TIME_LIMIT, f"{end['cpu_s']:.1f} s of CPU in {end['wall_s']:.1f} s"
    if end["full"]:
        return Cause.OUTPUT_LIMIT, f"more than {limits.answer_mb} MiB of answers"
    if end["signal"] == signal.SIGKILL and end["why"] == "closed":
        return Cause.EXITED_EARLY, "it closed its channel, or was killed"
    if end["signal"]:
        return Cause.EXITED_EARLY, f"killed by {signal.Signals(end['signal']).name}"
    return Cause.EXITED_EARLY, f"exit status {end['exit']} before it had answered"


def judge(sandbox: Sandbox, plan: Plan, code: bytes, limits: Limits) -> Outcome:
    """The outcome of a program that the sandbox has parsed.

    `sandbox.soiled` tells afterwards whether to make a new one.

    Raises:
      SandboxLostError: the sandbox went down; nothing is known of the program.
    """
    limits = plan.limits(limits)
    try:
        return _attempt(sandbox, plan, code, limits, plan.calls, live=not plan.complete)
    except Diverged:
        return _attempt(sandbox, plan, code, limits, [], live=True)


def _attempt(
    sandbox: Sandbox,
    plan: Plan,
    code: bytes,
    limits: Limits,
    calls: list[str],
    *,
    live: bool,
) -> Outcome:
    task = {"entry_point": plan.entry_point, "calls": calls}
    sandbox.foresee(task | {"limits": limits._asdict()})
    sandbox.send(b"L" if live else b"R", code)
    candidate = Candidate(sandbox, calls, limits, live=live)
    try:
        cause, detail = _remembered(candidate, plan)
    finally:
        end = candidate.finish()
        sandbox.soiled = sandbox.soiled or end["dirty"]
    cpu_s = end["cpu_s"]
    late = cpu_s > limits.cpu_s + 1 and math.isfinite(cpu_s)
    if cause in (Cause.PASSED, Cause.WRONG_ANSWER) and late:
        cause, detail = Cause.TIME_LIMIT, f"{cpu_s:.1f} s of CPU over all its processes"
    if cause == Cause.PASSED and live:
        plan.learn(candidate.calls[: candidate.asked])
    return Outcome(cause, detail, round(cpu_s, 4))


def _remembered(candidate: Candidate, plan: Plan) -> tuple[Cause, str]:
    """Equal answers get equal verdicts: check() has judged most of them before."""
    answers, end = candidate.receive(), candidate.end_frame
    whole = end is not None and end["why"] == "closed" and not end["exit"] and not end["signal"]
    if candidate.live or not whole:
        return _verdict(candidate, plan, answers)
    verdict = plan.verdict_on(answers)
    if verdict is None:
        verdict = _verdict(candidate, plan, answers)
        plan.remember(answers, verdict)
    return verdict


def _verdict(candidate: Candidate, plan: Plan, answers: bytes) -> tuple[Cause, str]:
    candidate.take(answers)
    try:
        with patience(JUDGE_CPU_S):
            candidate.start()
            plan.check(candidate)
    except (Diverged, SandboxLostError):
        raise
    except ProgramEnded as ended:
        return ended.cause, ended.detail
    except JudgeTired:
        return Cause.PROTOCOL_VIOLATION, "its answers kept the test busy"
    except NotPlainData as error:  # the reference was asked plainly: this came from the program
        return Cause.WRONG_ANSWER, f"the test passed on an answer that isn't plain data: {error}"
    except BaseException as error:
        if candidate.ended is None and not candidate.diverged:
            return _failure(error)
    if candidate.diverged:
        raise Diverged  # the test had caught it
    if candidate.ended is not None:
        return candidate.ended.cause, candidate.ended.detail
    return Cause.PASSED, ""


def _failure(error: BaseException) -> tuple[Cause, str]:
    """check() didn't return: through the program's own exception, or its answer was wrong."""
    if detail := getattr(error, "_of_program", ""):
        return Cause.EXCEPTION, detail
    if isinstance(error, AssertionError):
        return Cause.WRONG_ANSWER, str(error)[:300]
    return Cause.WRONG_ANSWER, f"the test met {type(error).__name__}: {error}"[:300]
