"""A judge process with one sandbox, on one core, started by `judging.pool`.

Requests and replies are lines of JSON on standard input and output. It is a process of its own
since tests run here on values from strangers: should they bring it down, the run goes on.
"""

import collections
import contextlib
import ctypes
import json
import os
import pathlib
import resource
import shutil
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from codex_jax import InputError
from codex_jax.evaluate.judging import judge
from codex_jax.evaluate.sandbox import backends, sandbox
from codex_jax.evaluate.sandbox.sandbox import Limits, Sandbox, SandboxLostError
from codex_jax.evaluate.verdicts import TAINTING_CAUSES, Cause, Outcome

if TYPE_CHECKING:
    from codex_jax.evaluate.judging.foreign_judge import Bench

_ATTEMPTS = 3
_PROGRAMS_PER_SANDBOX = 2000
_FLUSH_S = 0.05
_PR_SET_PDEATHSIG = 1


class Worker:
    """Answers requests; makes a new sandbox whenever the old one may no longer be trusted."""

    def __init__(self, settings: dict[str, Any], replies: IO[str]):
        self.isolation, self.limits = settings["isolation"], Limits(**settings["limits"])
        self.replies = replies
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="codex-jax-judge-"))
        self.folder.chmod(0o755)
        self.plans: dict[str, judge.Plan] = {}
        self.known: dict[str, dict[str, dict]] = collections.defaultdict(dict)
        self.sandbox: Sandbox | None = None
        self.kind: tuple[backends.Backend, pathlib.Path] | None = None
        self.programs = 0
        self.bench: Bench | None = None  # for other languages; loaded by those who need it

    def reply(self, fields: dict[str, Any], *, now: bool = True) -> None:
        self.replies.write(json.dumps(fields) + "\n")
        if now:
            self.replies.flush()

    def start(self) -> None:
        """Tells which sandbox it has."""
        try:
            backend, python = self._ready().backend, self._ready().python
            self.reply({"backend": backend.name, "python": str(python)})
        except InputError as error:
            self.reply({"unusable": str(error)})

    def problem(self, key: str, problem: dict[str, Any]) -> None:
        """Makes a plan; {"unusable": why} where the test can't be judged from outside."""
        told = {}
        try:
            if problem.get("extra", {}).get("mode"):
                self._at_bench(key, problem)
                return self.reply(told)
            self.plans[key] = judge.Plan(types.SimpleNamespace(**problem))  # type: ignore[arg-type]
        except judge.NotPlainData as error:
            told["unusable"] = f"its test passes arguments that aren't plain data ({error})"
        except InputError as error:
            told["unusable"] = str(error)
        except (SyntaxError, ValueError) as error:
            told["unusable"] = f"its test doesn't parse ({error})"
        self.reply(told)

    def _at_bench(self, key: str, problem: dict[str, Any]) -> None:
        """A problem in another language, or one whose programs run their tests themselves."""
        from codex_jax.evaluate.judging import foreign_judge

        self._ready()
        self.bench = self.bench or foreign_judge.Bench(self.folder, self.limits)
        self.bench.problem(key, problem, self.kind)

    def judge(self, key: str, sources: list[str], known: dict[str, dict]) -> None:
        """An outcome for each source, in their order, with the digest of what was parsed."""
        self.known[key].update(known)
        flushed = time.monotonic()
        for place, source in enumerate(sources, 1):
            found = self._steadily(lambda source=source: self._outcome(key, source))
            now = place == len(sources) or time.monotonic() - flushed > _FLUSH_S
            self.reply(found, now=now)
            flushed = time.monotonic() if now else flushed

    def _outcome(self, key: str, source: str) -> dict[str, Any]:
        if self.bench is not None and key in self.bench.problems:
            return self.bench.outcome(key, source, self.kind)._asdict()
        plan, box = self.plans[key], self._ready()
        parsed = box.parse(source)
        if not (digest := parsed.digest):
            return Outcome(Cause.SYNTAX_OR_COMPILE_ERROR, parsed.why)._asdict()
        known = self.known[key]
        if digest not in known:
            outcome = judge.judge(box, plan, parsed.code, self.limits)
            known[digest] = outcome._asdict() | {"digest": digest}
            self._count(outcome.cause)
        return known[digest]

    def _steadily(self, action: Callable[[], dict]) -> dict[str, Any]:
        """Three tries, each in a fresh sandbox. What brings them all down, while the sandboxes'
        own self-test passes before and after, did so itself.
        """
        for _ in range(_ATTEMPTS):
            self._ready()
            try:
                return action()
            except SandboxLostError as lost:
                why = str(lost)
                self.close()
        self._ready()
        detail = f"brought its sandbox down {_ATTEMPTS} times: {why}"
        return Outcome(Cause.PROTOCOL_VIOLATION, detail)._asdict()

    def _ready(self) -> Sandbox:
        """Raises SandboxLostError where no sandbox starts any more: our trouble."""
        if self.sandbox is None:
            self.programs = 0
            if self.kind is None:
                self.sandbox = sandbox.opened(self.isolation, self.folder, self.limits)
                self.kind = self.sandbox.backend, self.sandbox.python
            else:
                self.sandbox = sandbox.tested(*self.kind, self.folder, self.limits)
        return self.sandbox

    def _count(self, cause: Cause) -> None:
        self.programs += 1
        worn = self.programs >= _PROGRAMS_PER_SANDBOX or cause in TAINTING_CAUSES
        if worn or (self.sandbox is not None and self.sandbox.soiled):
            self.close()

    def close(self) -> None:
        if self.bench is not None:
            self.bench.close()
        if self.sandbox is not None:
            self.sandbox.stop()
        self.sandbox = None

    def leave(self) -> None:
        """The end, at whatever moment: no process and no file stays."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def main() -> None:
    settings = json.loads(sys.argv[1])
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what tests print must not be taken for a reply
    os.sched_setaffinity(0, {settings["core"]})
    with contextlib.suppress(ValueError, OSError):  # programs inherit it: see confine.settle
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until there is what to leave
    worker = Worker(settings, replies)
    _die_with_parent(worker, settings["parent"])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    try:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                getattr(worker, request.pop("do"))(**request)
            except SandboxLostError as lost:
                worker.reply({"infra_error": str(lost)})
    finally:
        worker.leave()
    os._exit(0)  # to take all plans apart first would cost a hundredth of a run


def _die_with_parent(worker: Worker, parent: int) -> None:
    def stop(*_: object) -> None:
        worker.leave()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and closes our input
    signal.signal(signal.SIGTERM, stop)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        stop()


if __name__ == "__main__":
    main()
