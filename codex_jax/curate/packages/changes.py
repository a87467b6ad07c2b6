"""Globals of a package that code which runs at its import changes after they are bound.

A table that a loop or a function fills, an attribute that is set from outside: the definition alone
would be another thing than what the package's functions see.
"""

import ast
import functools
from collections.abc import Iterator
from typing import NamedTuple

from codex_jax.curate.packages import import_code
from codex_jax.curate.packages.modules import Module, Package

_METHODS = """
    append appendleft add update setdefault extend extendleft insert remove discard pop popitem
    clear sort reverse register __setitem__ __delitem__ __setattr__
"""
_MUTATORS = frozenset(_METHODS.split())
_FUNCTIONS = "next heapify heappush heappop heapreplace heappushpop insort shuffle"
_IN_PLACE = frozenset(_FUNCTIONS.split())
_NAMESPACES = ("globals", "vars", "locals", "exec")
_LABELS = [["__doc__"], ["__module__"], ["__name__"], ["__qualname__"], ["__signature__"]]
_MOST_HOPS = 8  # from module to module
ANY = "*"  # stands for every constant of a module

Global = tuple[str, str]  # module, name


class Changes(NamedTuple):
    """Globals by what happens to them at import."""

    changed: frozenset[Global]  # items or attributes are set, methods change them
    passed: frozenset[Global]  # statements that may change constants name them


@functools.lru_cache(maxsize=2)
def find_changes(package: Package) -> Changes:
    """Returns the globals that a package's import changes, in whatever module it does."""
    roots, pieces = import_code.reach(package)
    changed = {found for piece in pieces for found in _changed(package, piece)}
    changing = _IN_PLACE.union(*(piece.called for piece in pieces if _changes_parameter(piece)))
    passed = {found for piece in roots for found in _passed(package, piece, changing)}
    aliases = [pair for piece in roots for pair in _aliases(package, piece)]
    for _ in range(_MOST_HOPS):
        changed |= {one for pair in aliases if changed & set(pair) for one in pair}
    return Changes(frozenset(changed), frozenset(passed))


def _changed(package: Package, piece: import_code.Piece) -> Iterator[Global]:
    local = {
        node.targets[0].id: _chain(node.value)
        for node in piece.nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if node.targets[0].id in piece.local and isinstance(node.value, ast.Name | ast.Attribute)
    }
    for node in piece.nodes:
        if isinstance(node, ast.Global):
            yield from ((piece.module.name, name) for name in node.names)
        elif (target := _target(node)) is not None:
            root, attributes = _chain(target)
            root, attributes = local.get(root, (root, attributes))
            if root not in piece.local and attributes[-1:] not in _LABELS:
                yield from _resolve(package, piece.module, root, attributes)


def _changes_parameter(piece: import_code.Piece) -> bool:
    targets = (target for node in piece.nodes if (target := _target(node)) is not None)
    return any(_chain(target)[0] in piece.parameters for target in targets)


def _target(node: ast.AST) -> ast.expr | None:
    """Returns the expression of what a node changes, if it does."""
    if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
        return node
    if isinstance(node, ast.Attribute) and node.attr in _MUTATORS:
        return node.value  # called here, or by what gets the method
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", "")
        if name in ("setattr", "delattr") and len(node.args) > 1:
            attribute = getattr(node.args[1], "value", "")
            return ast.Attribute(node.args[0], str(attribute), ast.Store())
        if name == "exec":
            return node.func
    return None


def _chain(node: ast.AST) -> tuple[str, list[str]]:
    """Returns the name at the root of an expression and the attributes that follow it at once."""
    attributes: list[str] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            attributes.insert(0, node.attr)
        elif isinstance(node, ast.Subscript | ast.Call):
            attributes = []
        else:
            return "", []
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id, attributes


def _resolve(
    package: Package, module: Module, name: str, attributes: list[str], hops: int = _MOST_HOPS
) -> Iterator[Global]:
    """Yields the globals that a name, or an attribute of a module of that name, stands for."""
    for binding in module.bindings.get(name, []) if hops else ():
        full = f"{binding.source}.{binding.name}" if binding.name else binding.source
        if not binding.source:
            yield module.name, name
        elif (target := package.find(full)) is not None:
            rest = list(attributes)
            while rest and (deeper := package.find(f"{target.name}.{rest[0]}")) is not None:
                target, rest = deeper, rest[1:]
            if rest:
                yield from _resolve(package, target, rest[0], rest[1:], hops - 1)
        elif (target := package.find(binding.source)) is not None:
            yield from _resolve(package, target, binding.name, attributes, hops - 1)


def _passed(
    package: Package, piece: import_code.Piece, changing: frozenset[str]
) -> Iterator[Global]:
    """Yields globals that loops, statements of calls and calls of `changing` functions mention.

    Also modules that set any of theirs.
    """
    for node in piece.nodes:
        for expression in _mentions(node, changing):
            for part in ast.walk(expression):
                if isinstance(part, ast.Name | ast.Attribute):
                    yield from _resolve(package, piece.module, *_chain(part))
        if (target := _target(node)) is not None:
            root, attributes = _chain(target)
            if root in _NAMESPACES or (root == "sys" and attributes[:1] == ["modules"]):
                yield piece.module.name, ANY


def _mentions(node: ast.AST, changing: frozenset[str]) -> list[ast.expr]:
    """Returns the expressions of a node whose objects may change."""
    if isinstance(node, ast.For):
        return [node.iter]
    if isinstance(node, ast.withitem):
        return [node.context_expr]
    if isinstance(node, ast.Expr):
        return [node.value]
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        is_changing = name in changing
        return [*node.args, *(k.value for k in node.keywords)] if is_changing else []
    return []


def _aliases(package: Package, piece: import_code.Piece) -> Iterator[tuple[Global, Global]]:
    """Yields pairs of names that an assignment makes the same object."""
    for node in piece.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute):
            targets = [target.id for target in node.targets if isinstance(target, ast.Name)]
            for other in _resolve(package, piece.module, *_chain(node.value)):
                yield from (((piece.module.name, name), other) for name in targets)
