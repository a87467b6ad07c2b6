"""A judge process's bench for other languages: problems told to it, and a workshop kept open."""

import pathlib
from typing import Any

from codex_jax.evaluate.judging import foreign
from codex_jax.evaluate.languages import registry, toolchain_sandbox
from codex_jax.evaluate.languages.spec import Language
from codex_jax.evaluate.sandbox import backends
from codex_jax.evaluate.sandbox.sandbox import Limits
from codex_jax.evaluate.verdicts import TAINTING_CAUSES, Outcome

_PROGRAMS_PER_SHOP = 500
Kind = tuple[backends.Backend, pathlib.Path]


class Bench:
    """Judges programs in other languages, and those whose tests run beside them."""

    def __init__(self, folder: pathlib.Path, limits: Limits):
        self.folder, self.limits = folder, limits
        self.problems: dict[str, tuple[Language, dict[str, Any]]] = {}
        self.plans: dict[str, foreign.AbroadPlan] = {}
        self.shop: toolchain_sandbox.ToolchainSandbox | None = None
        self.programs = 0

    def problem(self, key: str, problem: dict[str, Any], kind: Kind) -> None:
        """Raises InputError where the language can't be made ready."""
        language = registry.find_language(problem["extra"]["language"])
        if language not in (told for told, _ in self.problems.values()):
            toolchain_sandbox.prepare_toolchain(language, lambda: self._opened(language, kind))
            self.close()
        self.problems[key] = language, problem
        if problem["extra"]["mode"] == "outside":
            self.plans[key] = foreign.AbroadPlan(problem)

    def outcome(self, key: str, source: str, kind: Kind) -> Outcome:
        """Raises SandboxLostError where the workshop goes down: nothing is known then."""
        language, problem = self.problems[key]
        shop = self._opened(language, kind)
        entry_point, test = problem["entry_point"], problem["test"]
        if plan := self.plans.get(key):
            found = foreign.outcome(shop, language, entry_point, plan, source, self.limits)
        else:
            found = toolchain_sandbox.run_tests(
                shop, language, source, test, entry_point, self.limits
            )
        self.programs += 1
        if shop.soiled or found.cause in TAINTING_CAUSES or self.programs >= _PROGRAMS_PER_SHOP:
            self.close()
        return found

    def _opened(self, language: Language, kind: Kind) -> toolchain_sandbox.ToolchainSandbox:
        if self.shop is not None and self.shop.view.proc != language.needs_proc:
            self.close()
        if self.shop is None:
            self.programs = 0
            self.shop = toolchain_sandbox.ToolchainSandbox(
                *kind, self.folder, proc=language.needs_proc
            )
        return self.shop

    def close(self) -> None:
        if self.shop is not None:
            self.shop.stop()
        self.shop = None
