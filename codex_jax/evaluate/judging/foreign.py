"""Judging of programs in other languages, and of tests that run inside the sandbox.

A problem whose mode is "outside" has a `reference` program in Python: check() runs on the host, and
calls go through a driver. The reference's answers show what JSON can't: tuples, which are lists
there, and integers, which may be floats. They never enter the sandbox.
"""

import copy
import json
import pathlib
import types
from collections.abc import Callable
from typing import Any

from codex_jax.evaluate.judging import judge
from codex_jax.evaluate.judging.check_plan import CheckPlan
from codex_jax.evaluate.languages import registry, toolchain_sandbox
from codex_jax.evaluate.languages.spec import Language
from codex_jax.evaluate.languages.toolchain_sandbox import ToolchainSandbox
from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.sandbox import Limits, SandboxInfo, SandboxLostError
from codex_jax.evaluate.verdicts import TAINTING_CAUSES, Cause, Outcome

_PROGRAMS_PER_SANDBOX = 500


class ForeignJudge:
    """Judges programs in other languages, in a toolchain sandbox that it keeps open.

    Args:
      info: backend and Python of its sandboxes.
      folder: where they have their scratch folders.
      limits: limits of the programs.
    """

    def __init__(self, info: SandboxInfo, folder: pathlib.Path, limits: Limits):
        self.info, self.folder, self.limits = info, folder, limits
        self.problems: dict[str, tuple[Language, dict[str, Any]]] = {}
        self.plans: dict[str, ForeignCheckPlan] = {}
        self.sandbox: ToolchainSandbox | None = None
        self.programs = 0

    def add_problem(self, key: str, problem: dict[str, Any]) -> None:
        """Prepares a problem and its language's toolchain.

        Raises:
          InputError: the toolchain is incomplete.
        """
        language = registry.find_language(problem["extra"]["language"])
        if language not in (prepared for prepared, _ in self.problems.values()):
            toolchain_sandbox.prepare_toolchain(language, lambda: self._ensure_open(language))
            self.close()
        self.problems[key] = language, problem
        if problem["extra"]["mode"] == "outside":
            self.plans[key] = ForeignCheckPlan(problem)

    def judge(self, key: str, source: str) -> Outcome:
        """Returns the outcome of a program.

        Raises:
          SandboxLostError: the sandbox went down; the program has no verdict.
        """
        language, problem = self.problems[key]
        sandbox, entry_point = self._ensure_open(language), problem["entry_point"]
        if plan := self.plans.get(key):
            channel = ToolchainChannel(sandbox, language, entry_point)
            outcome = judge_foreign_call(channel, plan, source, self.limits)
        else:
            rules = problem["extra"].get("rules", "")
            outcome = toolchain_sandbox.run_tests(
                sandbox, language, source, problem["test"], entry_point, self.limits, rules
            )
        self.programs += 1
        is_worn = self.programs >= _PROGRAMS_PER_SANDBOX or outcome.cause in TAINTING_CAUSES
        if is_worn or sandbox.tainted:
            self.close()
        return outcome

    def _ensure_open(self, language: Language) -> ToolchainSandbox:
        if self.sandbox is not None and self.sandbox.mounts.proc != language.needs_proc:
            self.close()
        if self.sandbox is None:
            self.programs = 0
            packages = self.limits.packages
            sandbox = ToolchainSandbox(
                self.info, self.folder, proc=language.needs_proc, packages=packages
            )
            self.sandbox = sandbox.start()
        return self.sandbox

    def close(self) -> None:
        """Stops the sandbox; it is started again if needed."""
        if self.sandbox is not None:
            self.sandbox.stop()
        self.sandbox = None


class ToolchainChannel:
    """A ProgramChannel whose program is what the toolchain sandbox compiled last."""

    def __init__(self, sandbox: ToolchainSandbox, language: Language, entry_point: str):
        self.sandbox, self.language, self.entry_point = sandbox, language, entry_point
        self.tainted, self.digest = False, ""
        self._task: dict[str, Any] = {}
        self._is_started = False

    def set_calls(self, task: dict[str, Any]) -> None:
        """Sets entry point, calls and limits of the next programs."""
        self._task = task

    def start_program(self, *, live: bool) -> None:
        """Starts the program; if `live`, calls may follow those that are set."""
        limits, calls = Limits(**self._task["limits"]), self._task["calls"]
        job = {
            "argv": self.language.command("calls", self.entry_point, limits.memory_mb),
            "fd": self.language.answer_fd,
            "env": dict(self.language.env),
            "limits": toolchain_sandbox.limits_for(self.language, limits),
            "calls": None if live else calls,
        }
        self.sandbox.send(protocol.RUN, json.dumps(job).encode())
        self._is_started = False
        for call in calls if live else ():
            self.send_call(call)

    def send_call(self, call: str) -> None:
        """Sends the program another call."""
        self.sandbox.send(protocol.CALL, call.encode() + b"\n")

    def end_program(self) -> None:
        """Ends the program, if it hasn't ended."""
        self.sandbox.send(protocol.END)

    def receive_any(self, *, within_s: float) -> tuple[bytes, bytes]:
        """Returns the next frame, its start and its end in the form that the Python sandbox has."""
        message, body = self.sandbox.receive_any(within_s=within_s)
        start, self._is_started = b"" if self._is_started else b'{"started": true}\n', True
        if message != protocol.ENDED:
            return message, start + body
        end = json.loads(body)
        if end["reason"] == "exec":
            raise SandboxLostError(end["output"])
        self.sandbox.tainted = self.sandbox.tainted or end["dirty"]
        del end["output"]
        end["full"] = end["reason"] == "output"
        return message, json.dumps(end).encode() + b"\n" + start


class ForeignCheckPlan(CheckPlan):
    """A plan whose check() gets answers with the types of the reference's."""

    shares_arguments = False  # which the drivers do not read

    def __init__(self, problem: dict[str, Any]):
        extra = problem["extra"]
        name = extra.get("reference_entry_point") or problem["entry_point"]
        fields = {"entry_point": name, "prompt": "", "canonical_solution": extra["reference"]}
        super().__init__(types.SimpleNamespace(**problem | fields))

    def check(self, candidate: Callable) -> None:
        """Runs the test on `candidate`, in a namespace of its own."""
        reference = self._namespace()[self.entry_point]

        def coerced(*arguments: Any, **named: Any) -> Any:
            expected = reference(*copy.deepcopy(arguments), **named)
            return coerce_to(candidate(*arguments, **named), expected)

        super().check(coerced)


def coerce_to(value: Any, pattern: Any) -> Any:
    """Returns `value` with the types of `pattern`, as far as nothing is lost."""
    if isinstance(value, list) and isinstance(pattern, list | tuple):
        patterns = [*pattern, *[pattern[-1] if pattern else None] * len(value)]
        return type(pattern)(coerce_to(v, p) for v, p in zip(value, patterns, strict=False))
    if isinstance(value, dict) and isinstance(pattern, dict) and pattern:
        key, default = next(iter(pattern.items()))
        if isinstance(key, int):
            value = {int(k) if str(k).lstrip("-").isdigit() else k: v for k, v in value.items()}
        return {k: coerce_to(v, pattern.get(k, default)) for k, v in value.items()}
    if (isinstance(value, list) and isinstance(pattern, set)) or (value == [] and pattern == {}):
        return type(pattern)(value)
    if type(value) is float and type(pattern) is int and value.is_integer():
        return int(value)
    if type(value) is int and type(pattern) is float:
        return float(value)
    if type(pattern) is bool and value in (0, 1, ""):
        return bool(value)  # Perl has no booleans
    return value


def judge_foreign_call(
    channel: ToolchainChannel, plan: ForeignCheckPlan, source: str, limits: Limits
) -> Outcome:
    """Judges a program by calls through its language's driver.

    Raises:
      SandboxLostError: the sandbox went down; the program has no verdict.
    """
    language = channel.language
    result = channel.sandbox.compile({language.filename: source}, (), env=language.env)
    if not result["ok"]:
        return Outcome(Cause.PROTOCOL_VIOLATION, "it couldn't be written")
    limits = limits._replace(cpu_s=limits.cpu_s + language.start_cpu_s)
    return judge.judge(channel, plan, limits)
