"""Globals of a package that code which runs at its import changes after they are bound.

A table that a loop or a function fills, an attribute that is set from outside: the definition alone
would be another thing than what the package's functions see.
"""

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from codex_jax.curate.packages import import_code, purity
from codex_jax.curate.packages.modules import Binding, Module, Package

_METHODS = """
    append appendleft add update setdefault extend extendleft insert remove discard pop popitem
    clear sort reverse register __setitem__ __delitem__ __setattr__
"""
_MUTATORS = frozenset(_METHODS.split())
_FUNCTIONS = "next heapify heappush heappop heapreplace heappushpop insort shuffle"
_IN_PLACE = frozenset(_FUNCTIONS.split())
_NAMESPACES = ("globals", "vars", "locals", "exec")
_LABELS = [["__doc__"], ["__module__"], ["__name__"], ["__qualname__"], ["__signature__"]]
_GETTERS = ("get", "setdefault", "values", "items")
_MOST_HOPS = 8  # from module to module
ANY = "*"  # stands for every constant of a module

Global = tuple[str, str]  # module, name; of a function's own names, its scope and name


class Changes(NamedTuple):
    """Globals by what happens to them at import."""

    changed: frozenset[Global]  # items or attributes are set, methods change them
    passed: frozenset[Global]  # statements that may change constants name them


@functools.lru_cache(maxsize=2)
def find_changes(package: Package) -> Changes:
    """Returns the globals that a package's import changes, in whatever module it does."""
    pieces = import_code.reach(package)
    edges: dict[Global, set[Global]] = {}
    for piece in pieces:
        for name, whole in _aliases(package, piece):
            edges.setdefault(name, set()).add(whole)
    changed = _follow(edges, (key for piece in pieces for key in _changed(package, piece)))
    added = _follow(edges, (key for piece in pieces for key in _added_to(package, piece)))
    may_change = changed | added
    changing = _IN_PLACE.union(
        *(piece.called for piece in pieces if may_change & _parameters(piece)),
    )
    passed = added | _follow(
        edges, (key for piece in pieces for key in _passed(package, piece, changing))
    )
    rebound = {key for piece in pieces for key in _rebound(piece)}
    return Changes(frozenset(changed | rebound), frozenset(passed))


def _follow(edges: Mapping[Global, set[Global]], names: Iterable[Global]) -> set[Global]:
    """Returns the names, and all that these stand for or are parts of."""
    reached, stack = set[Global](), list(names)
    while stack:
        if (name := stack.pop()) not in reached:
            reached.add(name)
            stack += edges.get(name, ())
    return reached


def _changed(package: Package, piece: import_code.Piece) -> Iterator[Global]:
    for node in piece.nodes:
        if (target := _target(node)) is not None:
            root, attributes = _chain(target)
            if attributes[-1:] not in _LABELS:
                yield from _resolve(package, piece, root, attributes)


def _added_to(package: Package, piece: import_code.Piece) -> Iterator[Global]:
    """Yields names that `+=` and its like give another value, or change where it is a list."""
    for node in piece.nodes:
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            yield from _resolve(package, piece, node.target.id, [])


def _rebound(piece: import_code.Piece) -> Iterator[Global]:
    """Yields the globals that a function assigns; what they stood for before stays the same."""
    for node in piece.nodes:
        if isinstance(node, ast.Global):
            yield from ((piece.module.name, name) for name in node.names)


def _parameters(piece: import_code.Piece) -> set[Global]:
    return {(piece.scope, name) for name in piece.parameters}


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
    package: Package, piece: import_code.Piece, name: str, attributes: list[str]
) -> Iterator[Global]:
    """Yields what a name, or an attribute of a module of that name, stands for."""
    if name in piece.local:
        yield piece.scope, name
    elif binding := piece.imports.get(name):
        yield from _follow_import(package, binding, attributes, _MOST_HOPS)
    elif name:
        yield from _resolve_global(package, piece.module, name, attributes, _MOST_HOPS)


def _resolve_global(
    package: Package, module: Module, name: str, attributes: list[str], hops: int
) -> Iterator[Global]:
    yield module.name, name
    for owner in package.owners(module, name) if hops else ():
        for binding in owner.bindings[name]:
            if binding.source:
                yield from _follow_import(package, binding, attributes, hops)
            else:
                yield owner.name, name


def _follow_import(
    package: Package, binding: Binding, attributes: list[str], hops: int
) -> Iterator[Global]:
    full = f"{binding.source}.{binding.name}" if binding.name else binding.source
    if (target := package.find(full)) is not None:
        rest = list(attributes)
        while rest and (deeper := package.find(f"{target.name}.{rest[0]}")) is not None:
            target, rest = deeper, rest[1:]
        if rest:
            yield from _resolve_global(package, target, rest[0], rest[1:], hops - 1)
    elif (target := package.find(binding.source)) is not None:
        yield from _resolve_global(package, target, binding.name, attributes, hops - 1)


def _passed(
    package: Package, piece: import_code.Piece, changing: frozenset[str]
) -> Iterator[Global]:
    """Yields what calls of `changing` functions mention, and a module's statements of calls.

    Also modules that set any of their globals.
    """
    for node in piece.nodes:
        for expression in _mentions(node, changing, is_module=piece.is_module):
            yield from _resolve_all(package, piece, expression)
        if (target := _target(node)) is not None:
            root, attributes = _chain(target)
            is_own = piece.is_module and (root in _NAMESPACES or root == "sys")
            if root == "globals" or (is_own and (root != "sys" or attributes[:1] == ["modules"])):
                yield piece.module.name, ANY


def _mentions(node: ast.AST, changing: frozenset[str], *, is_module: bool) -> list[ast.expr]:
    """Returns the expressions of a node whose objects may change."""
    if isinstance(node, ast.withitem):
        return [node.context_expr] if is_module else []
    if isinstance(node, ast.Expr):
        return [node.value] if is_module else []
    if isinstance(node, ast.Call):
        is_changing = purity.called_name(node) in changing
        return [*node.args, *(k.value for k in node.keywords)] if is_changing else []
    return []


def _resolve_all(
    package: Package, piece: import_code.Piece, expression: ast.expr
) -> Iterator[Global]:
    """Yields what an expression's names stand for, but for functions that it calls."""
    parts = list(ast.walk(expression))
    functions = {part.func for part in parts if isinstance(part, ast.Call)}
    for part in parts:
        if _is_part(part) and not (isinstance(part, ast.Name) and part in functions):
            yield from _resolve(package, piece, *_chain(part))


def _aliases(package: Package, piece: import_code.Piece) -> Iterator[tuple[Global, Global]]:
    """Yields pairs (name, what it stands for or is a part of), of assignments and loops."""
    for node in piece.nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and _is_part(node.value):
            assert node.value is not None
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            wholes = list(_resolve(package, piece, *_chain(node.value)))
            is_same = isinstance(node.value, ast.Name)
        elif isinstance(node, ast.For | ast.comprehension):
            targets, is_same = [node.target], False
            wholes = list(_resolve_all(package, piece, node.iter))
        else:
            continue
        names = (part for target in targets for part in ast.walk(target))
        stored = (part for part in names if isinstance(getattr(part, "ctx", None), ast.Store))
        for name in (part.id for part in stored if isinstance(part, ast.Name)):
            for key in _resolve(package, piece, name, []):
                yield from ((key, whole) for whole in wholes)
                if is_same:
                    yield from ((whole, key) for whole in wholes)


def _is_part(value: ast.AST | None) -> bool:
    """Whether an expression is a name, or a part of one's object."""
    while isinstance(value, ast.Attribute | ast.Subscript | ast.Call):
        if isinstance(value, ast.Call) and getattr(value.func, "attr", "") not in _GETTERS:
            return False
        value = value.func if isinstance(value, ast.Call) else value.value
    return isinstance(value, ast.Name)
