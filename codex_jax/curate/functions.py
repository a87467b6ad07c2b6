"""Turns a function of a package into a problem, or into the reason why there is none."""

import ast
import random
from collections.abc import Sequence
from typing import Any

from codex_jax import records
from codex_jax.curate.execution import Call, Session
from codex_jax.curate.inputs import call_sites
from codex_jax.curate.packages.extraction import NotSelfContainedError, extract
from codex_jax.curate.packages.modules import Module, Package
from codex_jax.curate.problems import assembly, branches, growth, trial, usefulness
from codex_jax.curate.problems.cases import Case
from codex_jax.curate.problems.usefulness import RejectedError

_MOST_CASES = 36
_LEAST_COVERAGE = 0.5  # of the branches of a function and its helpers


class Workbench:
    """Makes problems of the functions of one package.

    Args:
      package: The package.
      session: Where its functions run.
      route: The way that inputs come from, for `extra`: "traces" or "candidates".
      seed: Decides generated inputs and the split of cases.
    """

    def __init__(self, package: Package, session: Session, *, route: str, seed: int):
        self.package, self.session, self.route, self.seed = package, session, route, seed

    def make_problem(
        self, module: Module, node: ast.FunctionDef, seeds: Sequence[Call], recorded: Sequence[Case]
    ) -> records.Problem:
        """Returns the problem of a function.

        Args:
          module: The function's module.
          node: Its definition.
          seeds: Calls to begin with.
          recorded: Calls with the answers that the package's tests saw.

        Raises:
          RejectedError: its reason says why there is none.
        """
        usefulness.check_function(node)
        try:
            extracted = extract(self.package, module, node.name)
        except NotSelfContainedError as error:
            raise RejectedError(error.reason) from None
        archive = self.package.archive
        rng = random.Random(f"{self.seed}/{archive.name}/{module.name}/{node.name}")
        is_generator = usefulness.is_generator(node)
        program = branches.instrument(
            extracted.source, extracted.entry_point, is_generator=is_generator
        )
        doctests = call_sites.find_doctests(ast.get_docstring(node) or "").get(node.name, [])
        calls = [case.call for case in recorded] + doctests + list(seeds)
        values = {case.key: case.value for case in recorded}
        grower = growth.Growth(self.session, program, node, rng, values)
        grown = grower.grow(calls, _MOST_CASES)
        self._check_count(grown)
        cases = trial.reproduced(self.session, extracted.source, extracted.entry_point, grown.cases)
        if len(cases) < assembly.MIN_TEST + 1:
            raise RejectedError("answers differ from run to run")
        documented = ast.get_docstring(node) is not None
        wants_examples = documented and ">>>" not in (ast.get_docstring(node) or "")
        split = assembly.split_cases(cases, wants_examples=wants_examples, rng=rng)
        task_id = f"{self.route}/{archive.name}/{module.name}.{node.name}"
        extra = self._extra(module, node, grown, split)
        problem = assembly.assemble(extracted, split, task_id=task_id, extra=extra)
        source = problem.prompt + problem.canonical_solution
        for test in (problem.test, problem.extra["shadow"]):
            trial.check_test(self.session, source, problem.entry_point, test)
        return problem

    def _check_count(self, grown: growth.Grown) -> None:
        if not grown.cases:
            raise RejectedError("no input that it answers with plain data")
        if len(grown.cases) < assembly.MIN_TEST + 1:
            raise RejectedError("fewer than 4 cases")
        if len({case.output for case in grown.cases}) < 2:
            raise RejectedError("fewer than 2 outputs")
        if grown.branch_coverage < _LEAST_COVERAGE:
            raise RejectedError("inputs take too few of its branches")
        if self.route == "traces" and not any(case.is_recorded for case in grown.cases):
            raise RejectedError("recorded answers aren't reproduced")

    def _extra(
        self,
        module: Module,
        node: ast.FunctionDef,
        grown: growth.Grown,
        split: assembly.Split,
    ) -> dict[str, Any]:
        archive = self.package.archive
        return {
            "package": archive.name,
            "version": archive.version,
            "file": module.path,
            "line": node.lineno,
            "license": archive.license,
            "route": self.route,
            "documented": ast.get_docstring(node) is not None,
            "recorded_cases": sum(case.is_recorded for case in grown.cases),
            "cases": len(split.test),
            "branch_coverage": round(grown.branch_coverage, 3),
        }
