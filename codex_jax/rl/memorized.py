"""A scan for programs that hold the expected outputs of their own tests.

Such a program may look its answers up instead of computing them. Only outputs that nobody writes
by chance count: long strings, large or fractional numbers, containers of several items.
"""

import ast
import functools
from collections.abc import Iterator

from codex_jax.records import Problem

_CHARACTERS, _ITEMS, _NUMBER = 8, 3, 1000


@functools.lru_cache(maxsize=4096)
def _literals(source: str) -> frozenset[str]:
    """Returns the telling literals of a source; none if it doesn't parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(_telling(tree))


def _telling(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant | ast.List | ast.Tuple | ast.Dict | ast.Set):
            continue
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        if _is_telling(value):
            yield repr(value)


def _is_telling(value: object) -> bool:
    if isinstance(value, str | bytes):
        return len(value) >= _CHARACTERS
    if isinstance(value, list | tuple | dict | set | frozenset):
        return len(value) >= _ITEMS
    if isinstance(value, float):
        return not value.is_integer() if value == value and abs(value) < 1e300 else False
    return type(value) is int and abs(value) >= _NUMBER


def expected_outputs(problem: Problem) -> frozenset[str]:
    """Returns the telling literals that a test compares with; not those of prompt and reference."""
    try:
        tree = ast.parse(problem.test)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    compared = (
        ast.Module([ast.Expr(side)], [])
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
        if not any(isinstance(part, ast.Call) for part in ast.walk(side))
    )
    outputs = {literal for side in compared for literal in _telling(side)}
    prompt, solution = problem.prompt, problem.canonical_solution
    public = (prompt, prompt + solution, solution, f"if True:\n{solution}")
    return frozenset(outputs.difference(*map(_literals, public)))


def holds_outputs(program: str, outputs: frozenset[str]) -> bool:
    """Whether a program has any of these outputs as a literal."""
    return bool(outputs) and not outputs.isdisjoint(_literals(program))
