"""Calls of a package's functions with literal arguments, in its tests, doctests and other code.

Variables that a function binds once to a literal, and parameters of pytest.mark.parametrize, count
as the literals that they hold.
"""

import ast
import contextlib
import doctest
import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from codex_jax.curate.execution import Call
from codex_jax.curate.inputs import literals
from codex_jax.curate.packages.modules import Package

_MAX_CALLS = 60  # of one function
_MAX_ROWS = 40  # of one parametrize

Calls = dict[str, list[Call]]


def find_calls(package: Package) -> Calls:
    """Returns function's name → calls that stand in the package, tests first."""
    calls: Calls = {}
    modules = sorted(package.modules.values(), key=lambda module: not module.is_test)
    for module in modules:
        with contextlib.suppress(RecursionError):  # an expression of a thousand operands
            _add_calls(module.tree, [{}], calls)
    return calls


def find_doctests(docstring: str) -> Calls:
    """Returns function's name → its calls in a docstring's examples."""
    calls: Calls = {}
    try:
        examples = doctest.DocTestParser().get_examples(docstring)
    except ValueError:
        return calls
    body: list[ast.stmt] = []
    for example in examples:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                body += ast.parse(example.source).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    _add_calls(ast.Module(body, []), [_constants(body)], calls)
    return calls


def _add_calls(tree: ast.AST, scopes: Sequence[Mapping[str, Any]], calls: Calls) -> None:
    """Adds every call below `tree`; each scope maps names to values that they may hold."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            constants = _constants(node.body)
            rows = _parametrized(node) or [{}]
            _add_calls(node, [{**constants, **row} for row in rows], calls)
            continue
        if isinstance(node, ast.Call) and (name := _called_name(node.func)):
            sites = calls.setdefault(name, [])
            if len(sites) < _MAX_CALLS:
                sites += [c for c in _evaluate_call(node, scopes) if c not in sites]
        _add_calls(node, scopes, calls)


def _called_name(node: ast.expr) -> str:
    return getattr(node, "id", "") or getattr(node, "attr", "")


def _evaluate_call(node: ast.Call, scopes: Sequence[Mapping[str, Any]]) -> Iterator[Call]:
    for scope in scopes:
        try:
            arguments = tuple(_evaluate(argument, scope) for argument in node.args)
            named = {k.arg: _evaluate(k.value, scope) for k in node.keywords if k.arg}
        except ValueError:
            continue
        if len(named) == len(node.keywords):
            yield Call(arguments, named)


def _evaluate(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    """Returns the value of a literal, or of a name in the scope."""
    if isinstance(node, ast.Name) and node.id in scope:
        return scope[node.id]
    return literals.parse(node)


def _constants(body: Sequence[ast.stmt]) -> dict[str, Any]:
    """Returns name → value of the names that a body binds once, to a literal."""
    values: dict[str, Any] = {}
    stores: dict[str, int] = {}
    for node in itertools.chain.from_iterable(map(ast.walk, body)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            stores[node.id] = stores.get(node.id, 0) + 1
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                values[node.targets[0].id] = literals.parse(node.value)
            except ValueError:
                continue
    return {name: value for name, value in values.items() if stores.get(name) == 1}


def _parametrized(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[dict[str, Any]]:
    """Returns name → value for each row of the function's pytest.mark.parametrize."""
    rows: list[dict[str, Any]] = []
    for decorator in node.decorator_list:
        is_call = isinstance(decorator, ast.Call) and _called_name(decorator.func) == "parametrize"
        if is_call and isinstance(decorator, ast.Call) and len(decorator.args) >= 2:
            rows += _rows(decorator.args[0], decorator.args[1])
    return rows[:_MAX_ROWS]


def _rows(names: ast.expr, table: ast.expr) -> Iterator[dict[str, Any]]:
    try:
        listed = literals.parse(names)
    except ValueError:
        return
    if not isinstance(listed, str | list | tuple):
        return
    keys = [key.strip() for key in listed.split(",")] if isinstance(listed, str) else list(listed)
    if not isinstance(table, ast.List | ast.Tuple):
        return
    for element in table.elts:
        if isinstance(element, ast.Call) and _called_name(element.func) == "param":
            cells: Iterable[ast.expr] = element.args
        else:
            cells = element.elts if len(keys) > 1 and hasattr(element, "elts") else [element]
        row = {}
        for key, cell in zip(keys, cells, strict=False):
            try:
                row[key] = literals.parse(cell)
            except ValueError:
                continue
        yield row
