"""One judge process with one sandbox, on one core: `python -m codex_jax.evaluate.worker SETTINGS`.

Requests and replies are lines of JSON on standard input and output. It is a process of its own
since tests run here on values from strangers: should they bring it down, the run goes on.
"""

import ctypes
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import types
from typing import Any

from codex_jax.evaluate import backends, judge
from codex_jax.evaluate.sandbox import Limits, Sandbox, SandboxLostError

_ATTEMPTS = 3
_PROGRAMS_PER_SANDBOX = 2000
_SOILING = ("memory_limit", "process_limit", "output_limit", "protocol_violation")
_PR_SET_PDEATHSIG = 1


class Worker:
    """Answers requests; makes a new sandbox whenever the old one may no longer be trusted."""

    def __init__(self, settings: dict[str, Any]):
        self.backend = backends.BACKENDS[settings["backend"]]
        self.python = pathlib.Path(settings["python"])
        self.limits = Limits(**settings["limits"])
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="codex-jax-judge-"))
        self.folder.chmod(0o755)
        self.plans: dict[str, judge.Plan] = {}
        self.sandbox: Sandbox | None = None
        self.parsed: tuple[str, str, str] | None = None  # source, digest, why it doesn't parse
        self.programs = 0

    def problem(self, key: str, problem: dict[str, Any]) -> dict[str, Any]:
        """Makes a plan; {"unusable": why} where the test can't be judged from outside."""
        try:
            self.plans[key] = judge.Plan(types.SimpleNamespace(**problem))  # type: ignore[arg-type]
        except judge.NotPlainData as error:
            return {"unusable": f"its test passes arguments that aren't plain data ({error})"}
        except (SyntaxError, ValueError) as error:
            return {"unusable": f"its test doesn't parse ({error})"}
        return {}

    def digest(self, source: str) -> dict[str, Any]:
        return self._steadily(lambda: self._parse(source))

    def judge(self, key: str, source: str) -> dict[str, Any]:
        def once() -> dict[str, Any]:
            if why := self._parse(source).get("error"):
                return dataclasses.asdict(judge.Outcome("syntax_or_compile_error", why))
            outcome = judge.judge(self._ready(), self.plans[key], self.limits)
            self._count(outcome.cause)
            return dataclasses.asdict(outcome)

        return self._steadily(once)

    def _parse(self, source: str) -> dict[str, Any]:
        sandbox = self._ready()
        if self.parsed is None or self.parsed[0] != source:
            self.parsed = (source, *judge.digest(sandbox, source))
        return {"digest": self.parsed[1], "error": self.parsed[2]}

    def _steadily(self, action) -> dict[str, Any]:
        """Three tries, each in a fresh sandbox: what brings it down every time did so itself."""
        for _ in range(_ATTEMPTS):
            self._ready()  # if no sandbox starts any more, that is our trouble, not the program's
            try:
                return action()
            except SandboxLostError as lost:
                why = str(lost)
                self.close()
        detail = f"brought its sandbox down {_ATTEMPTS} times: {why}"
        return dataclasses.asdict(judge.Outcome("protocol_violation", detail))

    def _ready(self) -> Sandbox:
        if self.sandbox is None:
            self.parsed, self.programs = None, 0
            self.sandbox = Sandbox(self.backend, self.python, self.folder)
        return self.sandbox

    def _count(self, cause: str) -> None:
        self.programs += 1
        worn = self.programs >= _PROGRAMS_PER_SANDBOX or cause in _SOILING
        if worn or (self.sandbox is not None and self.sandbox.soiled):
            self.close()

    def close(self) -> None:
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
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until there is what to leave
    worker = Worker(settings)
    _die_with_parent(worker, settings["parent"])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    try:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                reply = getattr(worker, request.pop("do"))(**request)
            except SandboxLostError as lost:
                reply = {"infra_error": str(lost)}
            replies.write(json.dumps(reply) + "\n")
            replies.flush()
    finally:
        worker.leave()


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
