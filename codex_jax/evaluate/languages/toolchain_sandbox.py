"""Sandbox for programs in other languages, and the outcome of their own tests.

Published tests run in the sandbox, next to the program: a program passes if the token that its
driver was given comes back, which only the end of the tests returns. A program that looks for the
token can return it itself (elsewhere it could exit with status 0); these verdicts are marked
"in-process".
"""

import json
import pathlib
import re
import secrets
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codex_jax import InputError
from codex_jax.evaluate.languages import compile_cache, messages, toolchain_cache
from codex_jax.evaluate.languages.spec import Language
from codex_jax.evaluate.sandbox import backends, packages, protocol
from codex_jax.evaluate.sandbox.sandbox import Limits, Sandbox, SandboxInfo, SandboxLostError
from codex_jax.evaluate.verdicts import Cause, Outcome

_SANDBOX = Limits(file_mb=1024, open_files=1024)
_TMP_MB = 2048
_COMPILER = Limits(cpu_s=30.0, memory_mb=4096, processes=128, file_mb=512, answer_mb=1024)
_BUILD = _COMPILER._replace(cpu_s=300.0)
_PROCESSES = 128  # threads too: a runtime has a dozen, and so has a compiler that stays
_RUNTIME_MB = 512  # of a virtual machine, in addition to the program's heap
_SILENCE_S = 60.0
_TOOLCHAIN_BYTES, _PROGRAM_BYTES = 1 << 30, 8 << 20


class ToolchainSandbox(Sandbox):
    """A sandbox in which compilers and programs of any language run."""

    server = "toolchain_server"

    def __init__(
        self,
        info: SandboxInfo,
        folder: pathlib.Path | None = None,
        *,
        proc: bool = False,
        packages: Sequence[str] = (),
    ):
        kit = toolchain_cache.drivers_dir()
        self.mounts = backends.Mounts(kit=kit, tmp_mb=_TMP_MB, toolchains=True, proc=proc)
        self.compile_cache = compile_cache.CompileCache(kit.parent / "made")
        super().__init__(info, folder, _SANDBOX._replace(packages=tuple(packages)))

    def compile(
        self,
        files: Mapping[str, str],
        steps: Sequence[Mapping[str, Any]],
        *,
        env: Mapping[str, str],
        max_bytes: int = 0,
        limits: Limits = _COMPILER,
    ) -> dict[str, Any]:
        """Writes files and runs the steps; returns their result, with packed artifacts.

        Args:
          files: text by file name, written to /tmp.
          steps: commands, and requests to compilers that stay.
          env: environment of the commands.
          max_bytes: artifacts are returned up to this size; no program has run before that.
          limits: limits of every step.
        """
        job = {"files": files, "steps": steps, "env": env, "max_bytes": max_bytes}
        job["limits"] = limits._asdict()
        self.send(protocol.BUILD, json.dumps(job).encode())
        within_s = _SILENCE_S + 10 * limits.cpu_s * max(1, len(steps))
        result = json.loads(self.receive(protocol.BUILT, within_s=within_s))
        self.tainted = self.tainted or result["dirty"]
        if result["reason"] == "exec":
            raise SandboxLostError(result["output"])
        if result["ok"] and max_bytes:
            result["artifacts"] = self.receive(protocol.ARTIFACTS, within_s=_SILENCE_S)
        return result

    def restore(self, artifacts: bytes) -> dict[str, Any]:
        """Unpacks artifacts of an earlier compilation into /tmp."""
        self.send(protocol.RESTORE, artifacts)
        result = json.loads(self.receive(protocol.BUILT, within_s=_SILENCE_S))
        self.tainted = self.tainted or result["dirty"]
        return result

    def run_tests(
        self, language: Language, entry_point: str, token: str, limits: Limits
    ) -> tuple[bytes, dict[str, Any]]:
        """Runs the program in /tmp with its tests: (its answers, how it ended)."""
        job = {
            "argv": language.command("tests", entry_point, limits.memory_mb),
            "fd": language.answer_fd,
            "env": dict(language.env),
            "calls": [token],
            "limits": limits_for(language, limits),
        }
        self.send(protocol.RUN, json.dumps(job).encode())
        answers, body = self.receive_answers(within_s=_SILENCE_S + 10 * limits.cpu_s)
        end = json.loads(body)
        self.tainted = self.tainted or end["dirty"]
        if end["reason"] == "exec":
            raise SandboxLostError(end["output"])
        return answers, end


def limits_for(language: Language, limits: Limits) -> dict[str, Any]:
    """Limits of a program including those of its runtime."""
    return limits._asdict() | {
        "cpu_s": limits.cpu_s + language.start_cpu_s,
        "memory_mb": limits.memory_mb + (_RUNTIME_MB if language.reserved_address_mb else 0),
        "address_mb": limits.memory_mb + language.reserved_address_mb,
        "processes": max(limits.processes, _PROCESSES),
        "open_files": max(limits.open_files, 256),
    }


def prepare_toolchain(language: Language, open_sandbox: Callable[[], ToolchainSandbox]) -> None:
    """Builds the toolchain and judges a right and a wrong program with it, once for its tools.

    Args:
      language: the language.
      open_sandbox: returns a sandbox; called only if there is something to do.

    Raises:
      InputError: the build fails, or the programs aren't judged as they should be.
    """

    def build(script: str) -> bytes:
        steps = [{"argv": ["sh", "build.sh"]}]
        result = open_sandbox().compile(
            {"build.sh": script},
            steps,
            env=language.env,
            max_bytes=_TOOLCHAIN_BYTES,
            limits=_BUILD,
        )
        if not result["ok"]:
            raise _incomplete(
                language, f"its toolchain can't be built ({_message(language, result['output'])})"
            )
        return result["artifacts"]

    def check() -> None:
        program, test = language.check_program, language.check_test
        for text, expected in ((program, True), (program.replace("+ 1", "+ 2"), False)):
            outcome = run_tests(open_sandbox(), language, text, test, "f", Limits(cpu_s=30.0))
            if (outcome.cause == Cause.PASSED) != expected:
                detail = f"{outcome.cause} {outcome.detail}".strip()
                verdict = "right" if expected else "wrong"
                raise _incomplete(language, f"a program that is {verdict} ended with: {detail}")

    toolchain_cache.ensure_built(language, build, check)


def _incomplete(language: Language, reason: str) -> InputError:
    commands = dict.fromkeys(language.missing().values()) or [language.install]
    text = f"{language.name} is incomplete: {reason}; install with: {' && '.join(commands)}"
    return InputError(text)


def run_tests(
    sandbox: ToolchainSandbox,
    language: Language,
    program: str,
    test: str,
    entry_point: str,
    limits: Limits,
    rules: str = "",
) -> Outcome:
    """Returns the outcome of a program's own tests, run next to it.

    Raises:
      SandboxLostError: the sandbox crashed; the program has no outcome.
    """
    files = language.files(program, test, rules)
    entry_point = language.main(f"{program}\n{test}", entry_point)
    result = _compile_cached(sandbox, language, files)
    if not result["ok"]:
        return _compile_failure(language, program, result)
    token = secrets.token_hex(16)
    answers, end = sandbox.run_tests(language, entry_point, token, limits)
    end["limit"] = limits.cpu_s + language.start_cpu_s
    cause, detail = _cause(language, end, answers.decode("utf-8", "replace") == token + "\n")
    if cause in (Cause.EXCEPTION, Cause.SYNTAX_OR_COMPILE_ERROR):
        detail += _hint(language, program) or packages.hint(detail)
    return Outcome(cause, detail, round(end["cpu_s"], 4))


def _compile_cached(
    sandbox: ToolchainSandbox, language: Language, files: Mapping[str, str]
) -> dict[str, Any]:
    """Compiles a program, or restores its artifacts if the same tools compiled it before."""
    if not language.steps:
        return sandbox.compile(files, (), env=language.env)
    tools = toolchain_cache.fingerprint(language, "\n".join(files.values()))
    key = compile_cache.cache_key(tools, toolchain_cache.drivers_dir().name, files)
    if (artifacts := sandbox.compile_cache.get(key)) is not None:
        return sandbox.restore(artifacts)
    result = sandbox.compile(files, language.steps, env=language.env, max_bytes=_PROGRAM_BYTES)
    if result["ok"] and result["artifacts"]:
        sandbox.compile_cache.store(key, result["artifacts"])
    return result


def _compile_failure(language: Language, program: str, result: dict[str, Any]) -> Outcome:
    if result["reason"] in ("cpu", "wall"):
        return Outcome(Cause.TIME_LIMIT, f"compiling took {result['cpu_s']:.0f} s of CPU")
    detail = _message(language, result["output"]) + _hint(language, program)
    return Outcome(Cause.SYNTAX_OR_COMPILE_ERROR, detail, round(result["cpu_s"], 4))


def _cause(language: Language, end: dict[str, Any], finished: bool) -> tuple[Cause, str]:
    output = end["output"]
    if end["reason"] in ("cpu", "wall") or end["cpu_s"] > end["limit"] + 1:
        return Cause.TIME_LIMIT, f"{end['cpu_s']:.1f} s of CPU in {end['wall_s']:.1f} s"
    if end["reason"] == "output" or end["signal"] == signal.SIGXFSZ:
        return Cause.OUTPUT_LIMIT, "it printed too much"
    if finished and end["exit"] == 0:
        return Cause.PASSED, ""
    patterns = {
        Cause.MEMORY_LIMIT: language.out_of_memory_pattern,
        Cause.PROCESS_LIMIT: r"(?i)resource temporarily unavailable|can't start new thread",
        Cause.EXITED_EARLY: "" if end["exit"] == 0 else r"(?!)",
        Cause.SYNTAX_OR_COMPILE_ERROR: language.syntax_error_pattern,
        Cause.WRONG_ANSWER: language.assertion_pattern,
    }
    cause = next((name for name, p in patterns.items() if re.search(p, output)), Cause.EXCEPTION)
    if cause == Cause.EXITED_EARLY:
        return cause, "exit status 0 before the end of its tests"
    message = _message(language, output)
    if cause == Cause.EXCEPTION and end["signal"]:
        return cause, f"killed by {signal.Signals(end['signal']).name}: {message}"
    return cause, message or f"exit status {end['exit']}"


def _message(language: Language, output: str) -> str:
    is_last = language.name == "python"  # a traceback ends with the error
    return messages.find_helpful_lines(output, language.error_pattern, is_last=is_last)


def _hint(language: Language, program: str) -> str:
    """Returns what installs the libraries that the program uses and this machine lacks."""
    missing = language.missing(program)
    commands = " && ".join(dict.fromkeys(missing.values()))
    return f"; {', '.join(missing)} is absent here; install with: {commands}" if missing else ""
