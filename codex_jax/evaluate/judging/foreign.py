"""The judge outside, for programs in other languages: check() in Python, calls through a driver.

A problem says `"mode": "outside"`, its language, and a `reference` program in Python, whose answers
tell what JSON can't: tuples from lists, whole numbers from floats. They never enter the sandbox.
"""

import copy
import json
import types
from collections.abc import Callable
from typing import Any

from codex_jax.evaluate.judging import judge
from codex_jax.evaluate.judging.check_plan import Plan
from codex_jax.evaluate.languages import toolchain_sandbox
from codex_jax.evaluate.languages.spec import Language
from codex_jax.evaluate.sandbox.sandbox import Limits
from codex_jax.evaluate.verdicts import Cause, Outcome


class Asked:
    """A workshop in the place of a sandbox that `judge` speaks to."""

    def __init__(
        self, shop: toolchain_sandbox.ToolchainSandbox, language: Language, entry_point: str
    ):
        self.shop, self.language, self.entry_point = shop, language, entry_point
        self.soiled = False
        self._task: dict[str, Any] = {}

    def foresee(self, task: dict[str, Any]) -> None:
        self._task = task

    def send(self, operation: bytes, body: bytes = b"") -> None:
        """R runs with the calls foreseen, L asks for those and for what comes."""
        if operation not in (b"R", b"L"):
            return self.shop.send(operation, body)
        live, limits = operation == b"L", Limits(**self._task["limits"])
        job = {
            "argv": self.language.command("calls", self.entry_point, limits.memory_mb),
            "fd": self.language.answer_fd,
            "env": dict(self.language.env),
            "limits": toolchain_sandbox.limits_for(self.language, limits),
            "calls": None if live else self._task["calls"],
        }
        self.shop.send(b"R", json.dumps(job).encode())
        for call in self._task["calls"] if live else ():
            self.shop.send(b"C", call.encode() + b"\n")

    def receive_any(self, *, within_s: float) -> tuple[bytes, bytes]:
        operation, body = self.shop.receive_any(within_s=within_s)
        if operation != b"X":
            return operation, body
        end = json.loads(body)
        self.shop.soiled = self.shop.soiled or end["dirty"]
        reason = end.pop("reason")
        del end["output"]
        return operation, json.dumps(
            end | {"why": reason, "full": reason == "output"}
        ).encode() + b"\n"


class AbroadPlan(Plan):
    """Answers take the reference's types before check() sees them."""

    def __init__(self, problem: dict[str, Any]):
        extra = problem["extra"]
        name = extra.get("reference_entry_point") or problem["entry_point"]
        fields = {"entry_point": name, "prompt": "", "canonical_solution": extra["reference"]}
        super().__init__(types.SimpleNamespace(**problem | fields))  # type: ignore[arg-type]

    def check(self, candidate: Callable) -> None:
        reference = self._world()[self.entry_point]

        def shaped(*given: Any, **named: Any) -> Any:
            expected = reference(*copy.deepcopy(given), **named)
            return like(candidate(*given, **named), expected)

        super().check(shaped)


def like(found: Any, expected: Any) -> Any:
    """`found` with the types of `expected`, where that loses nothing."""
    if isinstance(found, list) and isinstance(expected, list | tuple):
        patterns = [*expected, *[expected[-1] if expected else None] * len(found)]
        return type(expected)(like(f, e) for f, e in zip(found, patterns, strict=False))
    if isinstance(found, dict) and isinstance(expected, dict) and expected:
        key, value = next(iter(expected.items()))
        if isinstance(key, int):
            found = {int(k) if str(k).lstrip("-").isdigit() else k: v for k, v in found.items()}
        return {k: like(v, expected.get(k, value)) for k, v in found.items()}
    if (isinstance(found, list) and isinstance(expected, set)) or (found == [] and expected == {}):
        return type(expected)(found)
    if type(found) is float and type(expected) is int and found.is_integer():
        return int(found)
    if type(found) is int and type(expected) is float:
        return float(found)
    if type(expected) is bool and found in (0, 1, ""):
        return bool(found)  # Perl has no other
    return found


def outcome(
    shop: toolchain_sandbox.ToolchainSandbox,
    language: Language,
    entry_point: str,
    plan: Plan,
    source: str,
    limits: Limits,
) -> Outcome:
    """Raises SandboxLostError where the workshop goes down."""
    result = shop.compile({language.filename: source}, (), env=language.env)
    if not result["ok"]:
        return Outcome(Cause.PROTOCOL_VIOLATION, "it couldn't be written")
    limits = limits._replace(cpu_s=limits.cpu_s + language.start_cpu_s)
    return judge.judge(Asked(shop, language, entry_point), plan, b"", limits)  # type: ignore[arg-type]
