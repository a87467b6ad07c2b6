"""Programs in other languages: compiled and run in a sandbox of their own kind.

Their published tests run inside, beside the program: a program passes when the token that its
driver was given comes back, and only the end of the tests gives it back. One that goes looking for
it could do so itself, as it could exit with status 0 elsewhere: such verdicts are "in-process".
"""

import json
import pathlib
import re
import secrets
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codex_jax import InputError
from codex_jax.evaluate.languages import compile_cache, registry, toolchain_cache
from codex_jax.evaluate.languages.spec import Language
from codex_jax.evaluate.sandbox import backends
from codex_jax.evaluate.sandbox.sandbox import Limits, Sandbox
from codex_jax.evaluate.verdicts import Cause, Outcome

_SHOP = Limits(file_mb=1024, open_files=1024)
_SHOP_TMP_MB = 2048
_COMPILER = Limits(cpu_s=30.0, memory_mb=4096, processes=128, file_mb=512, answer_mb=1024)
_PROCESSES = 128  # threads too, of which runtimes have a dozen, and so has a compiler kept warm
_RUNTIME_MB = 512  # of a virtual machine, beside the program's heap
_SILENCE_S = 60.0
_KIT_BYTES, _KEPT_BYTES = 1 << 30, 8 << 20


class Shop(Sandbox):
    """A sandbox in which compilers and programs of any language run."""

    modules = ("confine", "server_io", "toolchain_server")

    def __init__(
        self,
        backend: backends.Backend,
        python: pathlib.Path,
        folder: pathlib.Path | None = None,
        *,
        proc: bool = False,
    ):
        self.view = backends.View(
            kit=toolchain_cache.drivers(), tmp_mb=_SHOP_TMP_MB, toolchains=True, proc=proc
        )
        self.kept = compile_cache.Products(self.view.kit.parent / "made")
        super().__init__(backend, python, folder, _SHOP)

    def make(
        self,
        files: Mapping[str, str],
        steps: Sequence[Mapping[str, Any]],
        *,
        env: Mapping[str, str],
        products: int = 0,
        limits: Limits = _COMPILER,
    ) -> dict[str, Any]:
        """Writes files and runs the steps; how that ended, with what they left, packed, if asked
        for so many bytes of it. No program has run since the sandbox was last found clean."""
        job = {"files": files, "steps": steps, "env": env, "products": products}
        job["limits"] = limits._asdict()
        self.send(b"M", json.dumps(job).encode())
        within_s = _SILENCE_S + 10 * limits.cpu_s * max(1, len(steps))
        end = json.loads(self.receive(b"G", within_s=within_s))
        self.soiled = self.soiled or end["dirty"]
        if end["ok"] and products:
            end["products"] = self.receive(b"B", within_s=_SILENCE_S)
        return end

    def put(self, products: bytes) -> dict[str, Any]:
        """Has /tmp hold what was made before."""
        self.send(b"W", products)
        end = json.loads(self.receive(b"G", within_s=_SILENCE_S))
        self.soiled = self.soiled or end["dirty"]
        return end

    def run(self, language: Language, entry_point: str, token: str, limits: Limits):
        """Runs the program in /tmp with its tests: (what it answered, how it ended)."""
        job = {
            "argv": language.command("tests", entry_point, limits.memory_mb),
            "fd": language.answers,
            "env": dict(language.env),
            "calls": [token],
            "limits": asdict_for(language, limits),
        }
        self.send(b"R", json.dumps(job).encode())
        answers = b""
        while True:
            operation, body = self.receive_any(within_s=_SILENCE_S + 10 * limits.cpu_s)
            if operation == b"X":
                end = json.loads(body)
                self.soiled = self.soiled or end["dirty"]
                return answers, end
            answers += body


def asdict_for(language: Language, limits: Limits) -> dict[str, Any]:
    """The limits of a program, with what its runtime takes for itself."""
    return limits._asdict() | {
        "cpu_s": limits.cpu_s + language.start_cpu_s,
        "memory_mb": limits.memory_mb + (_RUNTIME_MB if language.reserve_mb else 0),
        "address_mb": limits.memory_mb + language.reserve_mb,
        "processes": max(limits.processes, _PROCESSES),
        "open_files": max(limits.open_files, 256),
    }


def make_ready(language: Language, opened: Callable[[], Shop]) -> None:
    """Raises InputError where the language's tools are absent or don't make its kit.

    Opens a workshop only where the kit isn't there yet.
    """
    language.require()

    def make(language: Language) -> bytes:
        files = {"kit.sh": "set -e\n" + language.kit}
        steps = [{"argv": ["sh", "kit.sh"]}]
        limits = _COMPILER._replace(cpu_s=300.0)
        end = opened().make(files, steps, env=language.env, products=_KIT_BYTES, limits=limits)
        if not end["ok"]:
            said = " ".join(end["said"].split())[-200:]
            raise InputError(f"{language.name} can't be made ready ({said}); {language.install}")
        return end["products"]

    toolchain_cache.ready(language, make)


def judge(
    shop: Shop, language: Language, program: str, test: str, entry_point: str, limits: Limits
) -> Outcome:
    """The outcome of a program's own tests, run beside it.

    Raises:
      SandboxLostError: the sandbox went down; nothing is known of the program.
    """
    files = language.files(program, test)
    if language.main is not None:
        entry_point = language.main(f"{program}\n{test}")
    made = _made(shop, language, files)
    if not made["ok"]:
        return _not_made(made)
    token = secrets.token_hex(16)
    answers, end = shop.run(language, entry_point, token, limits)
    end["limit"] = limits.cpu_s + language.start_cpu_s
    cause, detail = _cause(language, end, answers.decode("utf-8", "replace") == token + "\n")
    return Outcome(cause, detail, round(end["cpu_s"], 4))


def _made(shop: Shop, language: Language, files: Mapping[str, str]) -> dict[str, Any]:
    """Compiles what hasn't been compiled before by the same tools; how that ended."""
    if not language.steps:
        return shop.make(files, (), env=language.env)
    version = (
        registry.runtime(language.name),
        toolchain_cache.stamp(language),
        toolchain_cache.drivers().name,
    )
    name = compile_cache.key(version, language.steps, dict(language.env), files)
    if (body := shop.kept.get(name)) is not None:
        return shop.put(body)
    made = shop.make(files, language.steps, env=language.env, products=_KEPT_BYTES)
    if made["ok"] and made["products"]:
        shop.kept.put(name, made["products"])
    return made


def _not_made(made: dict[str, Any]) -> Outcome:
    if made["why"] in ("cpu", "wall"):
        return Outcome(Cause.TIME_LIMIT, f"compiling took {made['cpu_s']:.0f} s of CPU")
    return Outcome(Cause.SYNTAX_OR_COMPILE_ERROR, _excerpt(made["said"]), round(made["cpu_s"], 4))


def _cause(language: Language, end: dict[str, Any], finished: bool) -> tuple[Cause, str]:
    said = end["said"]
    if end["why"] in ("cpu", "wall") or end["cpu_s"] > end["limit"] + 1:
        return Cause.TIME_LIMIT, f"{end['cpu_s']:.1f} s of CPU in {end['wall_s']:.1f} s"
    if end["why"] == "output" or end["signal"] == signal.SIGXFSZ:
        return Cause.OUTPUT_LIMIT, "it printed too much"
    if finished and end["exit"] == 0:
        return Cause.PASSED, ""
    if re.search(language.memory, said):
        return Cause.MEMORY_LIMIT, _excerpt(said)
    if re.search(r"(?i)resource temporarily unavailable|can't start new thread", said):
        return Cause.PROCESS_LIMIT, _excerpt(said)
    if end["exit"] == 0:
        return Cause.EXITED_EARLY, "exit status 0 before the end of its tests"
    if re.search(language.syntax, said):
        return Cause.SYNTAX_OR_COMPILE_ERROR, _excerpt(said)
    if re.search(language.wrong, said):
        return Cause.WRONG_ANSWER, _excerpt(said)
    if end["signal"]:
        return Cause.EXCEPTION, f"killed by {signal.Signals(end['signal']).name}: {_excerpt(said)}"
    return Cause.EXCEPTION, _excerpt(said) or f"exit status {end['exit']}"


def _excerpt(text: str) -> str:
    return " ".join(text.split())[:300]
