"""A judge process with one sandbox, on one core, started by `judging.pool`.

Requests and replies are lines of JSON on standard input and output. It is a process of its own
because tests run here on values from programs: if they crash it, the run goes on.
"""

import collections
import contextlib
import ctypes
import functools
import json
import os
import pathlib
import resource
import shutil
import signal
import sys
import time
import types
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from codex_jax import InputError
from codex_jax.evaluate.judging import call_results, check_plan, judge
from codex_jax.evaluate.sandbox import python_sandbox
from codex_jax.evaluate.sandbox.sandbox import Limits, SandboxInfo, SandboxLostError
from codex_jax.evaluate.verdicts import TAINTING_CAUSES, Cause, Outcome

if TYPE_CHECKING:
    from codex_jax.evaluate.judging.foreign import ForeignJudge

_ATTEMPTS = 3
_PROGRAMS_PER_SANDBOX = 2000
_PR_SET_PDEATHSIG = 1
_FLUSH_S = 0.05  # between replies: each wakes the pool


class Worker:
    """Answers requests; starts a new sandbox whenever the old one is tainted."""

    def __init__(self, settings: dict[str, Any], replies: IO[str]):
        self.backend, self.limits = settings["sandbox"], Limits(**settings["limits"])
        self.replies, self.flush_due = replies, 0.0
        self.scratch_dir = pathlib.Path(settings["scratch"])
        self.scratch_dir.mkdir()
        self.scratch_dir.chmod(0o755)
        self.plans: dict[str, check_plan.CheckPlan] = {}
        self.outcomes: dict[str, dict[str, dict]] = collections.defaultdict(dict)
        self.sandbox: python_sandbox.PythonSandbox | None = None
        self.info: SandboxInfo | None = None
        self.unfit: dict[str, str] = {}  # problem -> why it can't be judged outside
        self.programs = 0
        self.foreign: ForeignJudge | None = None  # for other languages; imported if needed

    def reply(self, fields: dict[str, Any]) -> None:
        """Writes a line, which the pool gets at the next flush."""
        self.replies.write(json.dumps(fields) + "\n")

    def start(self) -> None:
        """Starts the sandbox and replies which one it is."""
        try:
            backend, python = self._ensure_sandbox().info
            self.reply({"backend": backend.name, "python": str(python)})
        except InputError as error:
            self.reply({"unusable": str(error)})
        self.replies.flush()

    def problem(self, key: str, problem: dict[str, Any]) -> str:
        """Prepares a problem; returns the reason if the run can't go on with it, else empty."""
        self.unfit.pop(key, None)
        try:
            if problem.get("extra", {}).get("mode"):
                self._add_foreign_problem(key, problem)
            else:
                namespace = types.SimpleNamespace(**problem)
                self.plans[key] = check_plan.CheckPlan(namespace)
        except call_results.UnserializableValue as error:
            self.unfit[key] = f"its test passes arguments that aren't plain data ({error})"
        except InputError as error:
            return str(error)
        except SandboxLostError:
            raise
        except MemoryError:
            raise SandboxLostError("the judge has too little memory") from None
        except (Exception, SystemExit, check_plan.CheckTimeout) as error:  # noqa: BLE001 - whatever a reference raises
            self.unfit[key] = f"its reference raises {type(error).__name__}: {error}"[:300]
        return ""

    def _add_foreign_problem(self, key: str, problem: dict[str, Any]) -> None:
        """Adds a problem in another language, or one whose tests run inside the sandbox."""
        from codex_jax.evaluate.judging.foreign import ForeignJudge

        info = self._ensure_sandbox().info
        self.foreign = self.foreign or ForeignJudge(info, self.scratch_dir, self.limits)
        self.foreign.add_problem(key, problem)

    def judge(
        self,
        jobs: list[tuple[str, str]],
        problems: dict[str, dict[str, Any]],
        outcomes: dict[str, dict[str, dict]],
    ) -> None:
        """Replies an outcome for each job, in order, with the digest of its code.

        Args:
          jobs: the key of a problem, and a program.
          problems: those that are new, by key. The last reply is {"unusable": reason} if the run
            can't go on with one.
          outcomes: of programs that other workers have judged, by key and digest.
        """
        for key, judged in outcomes.items():
            self.outcomes[key].update(judged)
        for key, source in jobs:
            if key in problems and (reason := self.problem(key, problems.pop(key))):
                self.reply({"unusable": reason})
                break
            self.reply(self._with_retries(functools.partial(self._outcome, key, source)))
        self.replies.flush()

    def _outcome(self, key: str, source: str) -> dict[str, Any]:
        """Judges a program, unless an equal one was; earlier outcomes don't wait for it long."""
        if time.monotonic() >= self.flush_due:
            self.replies.flush()
            self.flush_due = time.monotonic() + _FLUSH_S
        if self.foreign is not None and key in self.foreign.problems:
            return self.foreign.judge(key, source)._asdict()
        if key in self.unfit:
            return Outcome(Cause.LEFT_OUT, self.unfit[key])._asdict()
        sandbox, outcomes = self._ensure_sandbox(), self.outcomes[key]
        sandbox.set_source(source, outcomes)
        try:
            outcome = judge.judge(sandbox, self.plans[key], self.limits)
        except python_sandbox.ProgramRefusedError as refused:
            if sandbox.tainted:
                self.close()
            if refused.digest:
                return outcomes[refused.digest]
            return Outcome(Cause.SYNTAX_OR_COMPILE_ERROR, str(refused))._asdict()
        digest = sandbox.digest
        outcomes[digest] = outcome._asdict() | {"digest": digest}
        self._retire_if_worn(outcome.cause)
        return outcomes[digest]

    def _with_retries(self, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Tries up to three times, each in a fresh sandbox that passes its self-test.

        If all are lost, or this process lacks memory, the program has no verdict.
        """
        for _ in range(_ATTEMPTS):
            self._ensure_sandbox()
            try:
                return action()
            except (SandboxLostError, MemoryError) as lost:
                reason = str(lost) or "the judge has too little memory"
                self.close()
        detail = f"its sandbox was lost {_ATTEMPTS} times: {reason}"[:300]
        return Outcome(Cause.INFRA_ERROR, detail)._asdict()

    def _ensure_sandbox(self) -> python_sandbox.PythonSandbox:
        """Returns the sandbox, started if there is none.

        Raises:
          SandboxLostError: sandboxes no longer start; this is the infrastructure's error.
        """
        if self.sandbox is None:
            self.programs = 0
            start = (self.scratch_dir, self.limits)
            if self.info is None:
                self.sandbox = python_sandbox.open_first_working(self.backend, *start)
                self.info = self.sandbox.info
            else:
                self.sandbox = python_sandbox.open_verified(self.info, *start)
        return self.sandbox

    def _retire_if_worn(self, cause: Cause) -> None:
        self.programs += 1
        is_worn = self.programs >= _PROGRAMS_PER_SANDBOX or cause in TAINTING_CAUSES
        if is_worn or (self.sandbox is not None and self.sandbox.tainted):
            self.close()

    def close(self) -> None:
        """Stops all sandboxes; they are started again if needed."""
        if self.foreign is not None:
            self.foreign.close()
        if self.sandbox is not None:
            self.sandbox.stop()
        self.sandbox = None

    def shutdown(self) -> None:
        """Stops all sandboxes and deletes the scratch folder."""
        self.close()
        shutil.rmtree(self.scratch_dir, ignore_errors=True)


def main() -> None:
    """Answers the requests on standard input until it ends."""
    settings = json.loads(sys.argv[1])
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what tests print is no reply
    os.sched_setaffinity(0, {settings["core"]})
    with contextlib.suppress(ValueError, OSError):  # programs inherit it: see confine.harden
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    worker = Worker(settings, replies)
    _die_with_parent(worker, settings["parent"])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    try:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                getattr(worker, request.pop("do"))(**request)
            except (SandboxLostError, InputError) as lost:  # a new worker's, where it is down
                worker.reply({"infra_error": str(lost)})
                worker.replies.flush()
    finally:
        worker.shutdown()
    os._exit(0)  # to delete all plans first would take a hundredth of a run


def _die_with_parent(worker: Worker, parent: int) -> None:
    def stop(*_: object) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        worker.shutdown()
        os.kill(os.getpid(), signal.SIGKILL)  # an exit could wait for a lock held below

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it, and closes our input
    signal.signal(signal.SIGTERM, stop)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        stop()


if __name__ == "__main__":
    main()
