"""Cases of a problem's test: those that are rewarded, and shadow cases that never are.

A case is a statement of check() (or of a test without one) that asserts something; definitions and
`assert True` are none, and stay in every test. Shadow cases
show whether what was learned holds beyond the cases that were rewarded. A problem may bring its
own as `shadow_test`, or as the `shadow` of `curate`; else a share of its cases is held back.
"""

import ast
import dataclasses
import math
import re
from typing import NamedTuple

from codex_jax import InputError
from codex_jax.records import Problem


class Cases(NamedTuple):
    """A problem with its rewarded cases, its shadow cases, and each rewarded one alone."""

    rewarded: Problem
    shadow: Problem
    single: list[Problem]


def split_cases(problem: Problem, shadow_share: float) -> Cases:
    """Splits a problem's test; the last cases become shadow cases.

    Args:
      problem: A problem whose test is Python and runs outside of the program.
      shadow_share: Share of the cases that is held back, at least one.

    Raises:
      InputError: a test that can't be split.
    """
    _check_form(problem)
    tree, body = _parse_test(problem)
    cases = [index for index, node in enumerate(body) if _asserts(node)]
    shadow_test = problem.extra.get("shadow_test", problem.extra.get("shadow"))
    if shadow_test is None:
        if len(cases) < 2:
            raise InputError(
                f"{problem.task_id}: its test has {len(cases)} cases; expected 2 or more, of which "
                "some are held back; add assertions to check(), or a shadow_test"
            )
        held_back = max(1, min(len(cases) - 1, math.floor(len(cases) * shadow_share)))
        rewarded, shadow = cases[:-held_back], cases[-held_back:]
        shadow_test = _with_cases(tree, body, cases, shadow)
    elif not isinstance(shadow_test, str) or not cases or not _count(problem, shadow_test):
        raise InputError(f"{problem.task_id}: expected tests that assert as test and shadow_test")
    else:
        rewarded = cases
    return Cases(
        _replace_test(problem, _with_cases(tree, body, cases, rewarded)),
        _replace_test(problem, shadow_test),
        [_replace_test(problem, _with_cases(tree, body, cases, [case])) for case in rewarded],
    )


def _check_form(problem: Problem) -> None:
    """Refuses what can't be split or sampled.

    Raises:
      InputError: the problem's fields aren't of a form that rewards can be computed from.
    """
    if not problem.test or not problem.entry_point:
        missing = "test" if not problem.test else "entry_point"
        raise InputError(f"{problem.task_id}: no {missing}; rewards need check(candidate) and both")
    _check_entry_point(problem)
    if problem.extra.get("language", "python") != "python" or problem.extra.get("mode"):
        raise InputError(
            f"{problem.task_id}: its test doesn't run outside of the program, as rewards need; "
            "leave the problem out"
        )
    if problem.extra.get("suffix"):
        raise InputError(f"{problem.task_id}: has a suffix; leave infilling problems out")


def _check_entry_point(problem: Problem) -> None:
    """Refuses a function that no program would define.

    Raises:
      InputError: prompt and reference never have the entry point.
    """
    name, reference = problem.entry_point or "", problem.canonical_solution or ""
    text = problem.prompt + reference
    is_named = re.search(rf"\b{re.escape(name)}\b", text) or "import *" in text
    if reference.strip() and not is_named:
        raise InputError(
            f"{problem.task_id}: neither prompt nor canonical_solution has the entry_point "
            f"{name!r}; expected the name of a function that programs define"
        )


def _parse_test(problem: Problem) -> tuple[ast.Module, list[ast.stmt]]:
    """(the test's tree, the statements among which its cases are)."""
    try:
        tree = ast.parse(problem.test)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise InputError(f"{problem.task_id}: its test doesn't parse ({error})") from None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "check":
            return tree, node.body
    return tree, tree.body


def _count(problem: Problem, test: str) -> int:
    """The number of cases in another test of the problem."""
    return sum(map(_asserts, _parse_test(_replace_test(problem, test))[1]))


def _asserts(node: ast.stmt) -> bool:
    """Whether a statement is a case: not a helper, and not HumanEval's `assert True`."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    asserts = (part for part in ast.walk(node) if isinstance(part, ast.Assert))
    return any(not isinstance(part.test, ast.Constant) for part in asserts)


def _with_cases(
    tree: ast.Module, body: list[ast.stmt], cases: list[int], selected: list[int]
) -> str:
    """Returns the test's source with the selected cases alone, and all that isn't a case."""
    dropped = set(cases) - set(selected)
    statements = list(body)
    body[:] = [node for index, node in enumerate(statements) if index not in dropped]
    try:
        return ast.unparse(tree) + "\n"
    finally:
        body[:] = statements


def _replace_test(problem: Problem, test: str) -> Problem:
    return dataclasses.replace(problem, test=test)
