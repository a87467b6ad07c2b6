"""The verdict on one program, reached outside the sandbox.

check(candidate) runs here, in a process of its own; `candidate` is a stand-in that has the program
called in the sandbox and returns the plain value that it returned. Tests, expected values and the
reference solution never enter. If a reference solution is known, it shows which calls a right
program will get, and they are sent all at once; if the test then makes another call (it adapts to
answers), the program starts over and gets its calls one by one.
"""

import collections
import json
import math
import mmap
import signal
from typing import Any

from codex_jax.evaluate.judging.call_results import (
    Caller,
    ProgramExited,
    UnserializableValue,
    classify_exception,
)
from codex_jax.evaluate.judging.check_plan import (
    CheckPlan,
    CheckTimeout,
    UnexpectedCall,
    cpu_time_limit,
)
from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.channel import ProgramChannel
from codex_jax.evaluate.sandbox.guest.value_codec import call_deeply
from codex_jax.evaluate.sandbox.sandbox import Limits, SandboxLostError
from codex_jax.evaluate.verdicts import Cause, Outcome

NO_CALLS = "its test passed without a call of the program"  # which shows nothing
_MESSAGE_CPU_S = 2.0  # for the text of a test's error
_SPARE_BYTES = 1 << 28


class Candidate:
    """Stand-in for the program: check() calls it, and the sandbox answers.

    Args:
      channel: runs the program, which has been started.
      calls: the calls that it was given.
      limits: its limits.
      live: whether it takes further calls.
    """

    def __init__(self, channel: ProgramChannel, calls: list[str], limits: Limits, *, live: bool):
        self.channel, self.limits, self.live = channel, limits, live
        self.calls, self.call_count = list(calls), 0
        self.has_diverged = False
        self.end: dict[str, Any] | None = None
        self._wall_s = 10 * limits.cpu_s + 30
        self._lines: collections.deque[bytes] = collections.deque()
        self._unfinished: list[bytes] = []

    def wait_until_ready(self) -> None:
        """Waits until the program has been loaded and its function is there.

        Raises:
          ProgramExited: there is no function to call.
        """
        self.await_start()
        answer = self._next_answer()
        if "unready" in answer:
            raise ProgramExited(*classify_exception(answer["unready"]))
        if answer != {"ready": True}:
            raise ProgramExited(Cause.PROTOCOL_VIOLATION, "it answered before it was called")

    def await_start(self) -> None:
        """Waits until the program's process is ready to run its code.

        Raises:
          SandboxLostError: it never was; no program can do that.
        """
        while not self._lines:
            if self.end is not None:
                raise SandboxLostError(f"it couldn't start a program ({self.end})")
            self.add(self.receive())
        if json.loads(self._lines.popleft()) != {"started": True}:
            raise SandboxLostError("a program started by itself")

    def ask(self, call: str) -> dict[str, Any]:
        """Has the program called, and returns its answer.

        Raises:
          ProgramExited: it gives no more answers.
          UnexpectedCall: the program was started with other calls.
        """
        is_set = self.call_count < len(self.calls)
        if (is_set and call != self.calls[self.call_count]) or not (is_set or self.live):
            self.has_diverged = True
            raise UnexpectedCall
        if not is_set:
            self.channel.send_call(call)
            self.calls.append(call)
        self.call_count += 1
        return self._next_answer()

    def _next_answer(self) -> dict[str, Any]:
        """Returns the next answer; the fork server limits its size."""
        while not self._lines:
            if self.end is not None:
                raise ProgramExited(*_cause_of_end(self.end, self.limits))
            self.add(self.receive())
        try:
            answer = call_deeply(json.loads, self._lines.popleft())
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise ProgramExited(Cause.PROTOCOL_VIOLATION, "an answer that is no JSON object")
        return answer

    def receive(self) -> bytes:
        """Returns bytes of answers; with the last of them, `end` is set."""
        message, body = self.channel.receive_any(within_s=self._wall_s)
        if message == protocol.ENDED:
            end, _, body = body.partition(b"\n")
            self.end = json.loads(end)
        return body

    def add(self, answers: bytes) -> None:
        """Splits bytes of answers into lines, for the calls to come."""
        *lines, rest = answers.split(b"\n")
        if lines:
            self._lines.extend([b"".join(self._unfinished) + lines[0], *lines[1:]])
            self._unfinished = []
        self._unfinished.append(rest)

    def finish(self) -> dict[str, Any]:
        """Ends the program, if it hasn't ended, and returns how it ended."""
        if self.end is None:
            self.channel.end_program()
        while self.end is None:
            self.receive()
        return self.end


def _cause_of_end(end: dict[str, Any], limits: Limits) -> tuple[Cause, str]:
    if end["reason"] in ("cpu", "wall") or end["cpu_s"] >= limits.cpu_s:
        return Cause.TIME_LIMIT, f"{end['cpu_s']:.1f} s of CPU in {end['wall_s']:.1f} s"
    if end["full"]:
        return Cause.OUTPUT_LIMIT, f"more than {limits.answer_mb} MiB of answers"
    if end["signal"] == signal.SIGKILL and end["reason"] == "closed":
        return Cause.EXITED_EARLY, "it closed its channel, or was killed"
    if end["signal"]:
        return Cause.EXITED_EARLY, f"killed by {signal.Signals(end['signal']).name}"
    return Cause.EXITED_EARLY, f"exit status {end['exit']} before its last answer"


def judge(channel: ProgramChannel, plan: CheckPlan, limits: Limits) -> Outcome:
    """Judges the program that the channel runs.

    `channel.tainted` says afterwards whether another one is needed. It may raise errors of its own.

    Raises:
      SandboxLostError: the sandbox went down; the program has no verdict.
    """
    limits = plan.limits(limits)
    try:
        return _run_and_check(channel, plan, limits, plan.calls, live=not plan.complete)
    except UnexpectedCall:
        return _run_and_check(channel, plan, limits, [], live=True)


def _run_and_check(
    channel: ProgramChannel, plan: CheckPlan, limits: Limits, calls: list[str], *, live: bool
) -> Outcome:
    task = {"entry_point": plan.entry_point, "calls": calls}
    channel.set_calls(task | {"limits": limits._asdict()})
    channel.start_program(live=live)
    candidate = Candidate(channel, calls, limits, live=live)
    try:
        cause, detail = _cached_verdict(candidate, plan)
    except UnexpectedCall:
        _finish(candidate, channel)
        raise
    end = _finish(candidate, channel)
    cpu_s = end["cpu_s"]
    is_late = cpu_s > limits.cpu_s + 1 and math.isfinite(cpu_s)
    if cause in (Cause.PASSED, Cause.WRONG_ANSWER) and is_late:
        cause, detail = Cause.TIME_LIMIT, f"{cpu_s:.1f} s of CPU over all its processes"
    if cause == Cause.PASSED and live:
        plan.set_calls(candidate.calls[: candidate.call_count])
    return Outcome(cause, detail, round(cpu_s, 4))


def _finish(candidate: Candidate, channel: ProgramChannel) -> dict[str, Any]:
    """Ends the program, if it hasn't ended, and returns how it ended."""
    end = candidate.finish()
    channel.tainted = channel.tainted or end["dirty"]
    channel.digest = end.get("digest", "")
    return end


def _cached_verdict(candidate: Candidate, plan: CheckPlan) -> tuple[Cause, str]:
    """Gives equal answers equal verdicts; check() runs on those that are new."""
    answers, end = candidate.receive(), candidate.end
    is_complete = (
        end is not None and end["reason"] == "closed" and not end["exit"] and not end["signal"]
    )
    if candidate.live or not is_complete:
        return _check(candidate, plan, answers)
    verdict = plan.cached_verdict(answers)
    if verdict is None:
        verdict = _check(candidate, plan, answers)
        plan.cache_verdict(answers, verdict)
    return verdict


def _check(candidate: Candidate, plan: CheckPlan, answers: bytes) -> tuple[Cause, str]:
    candidate.add(answers)
    check_cpu_s = 3 * candidate.limits.cpu_s  # the values it works on come from programs
    caller = Caller(candidate.ask, plan.find_class, shared=plan.shares_arguments)
    try:
        with cpu_time_limit(check_cpu_s):
            candidate.wait_until_ready()
            plan.check(caller)
    except (UnexpectedCall, SandboxLostError):
        raise
    except ProgramExited as exited:
        return exited.cause, exited.detail
    except CheckTimeout:
        return Cause.TIME_LIMIT, f"the test took {check_cpu_s:.0f} s of CPU on its answers"
    except UnserializableValue:
        pass
    except BaseException as error:  # noqa: BLE001 - whatever a test raises
        if caller.stopped is None and not candidate.has_diverged:
            return _cause_of_failure(error)
    return _cause_of_success(candidate, caller)


def _cause_of_success(candidate: Candidate, caller: Caller) -> tuple[Cause, str]:
    """Returns the cause if check() raised nothing: it may have caught what ended its calls."""
    if candidate.has_diverged:
        raise UnexpectedCall
    if isinstance(caller.stopped, ProgramExited):
        return caller.stopped.cause, caller.stopped.detail
    if caller.stopped is not None:  # the reference got plain data: this is the program's
        detail = f"the test passed on an answer that isn't plain data: {caller.stopped}"
        return Cause.WRONG_ANSWER, detail
    if not candidate.call_count:
        return Cause.LEFT_OUT, NO_CALLS
    return Cause.PASSED, f"judged by plain data for {caller.inexact}" if caller.inexact else ""


def _cause_of_failure(error: BaseException) -> tuple[Cause, str]:
    """Returns the cause if check() raised: the program's own exception, or a wrong answer."""
    if detail := getattr(error, "_of_program", ""):
        return Cause.EXCEPTION, detail
    if isinstance(error, MemoryError):
        if not _has_memory():
            raise SandboxLostError("the judge has too little memory")
        return Cause.MEMORY_LIMIT, "the test ran out of memory on its answers"
    if isinstance(error, AssertionError):
        return Cause.WRONG_ANSWER, _message(error)
    return Cause.WRONG_ANSWER, f"the test raised {type(error).__name__}: {_message(error)}"[:300]


def _message(error: BaseException) -> str:
    """Returns the beginning of an error's text; "" where it is a value too large to be written."""
    try:
        with cpu_time_limit(_MESSAGE_CPU_S):
            return str(error)[:300]
    except BaseException:  # noqa: BLE001 - the value is a program's
        return ""


def _has_memory() -> bool:
    """Whether this process still gets what any test may need."""
    try:
        mmap.mmap(-1, _SPARE_BYTES).close()
    except OSError:
        return False
    return True
