"""Code that runs at the import of a package: of its modules, and of functions that these reach.

A function is reached where its name, or its class's, is mentioned; which object has the name isn't
known, so that some are taken for reached that aren't.
"""

import ast
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from codex_jax.curate.packages.modules import Binding, Function, Module, Package


class Piece(NamedTuple):
    """Code that runs at once: a module's at its import, or a function's."""

    module: Module
    scope: str  # the module's name, or one of the function's own
    nodes: list[ast.AST]
    local: frozenset[str]
    called: frozenset[str] = frozenset()  # names by which it is called
    parameters: frozenset[str] = frozenset()  # but for self and cls
    imports: Mapping[str, Binding] = {}  # a function's own

    @property
    def is_module(self) -> bool:
        """Whether it is a module's."""
        return self.scope == self.module.name

    @property
    def names(self) -> set[str]:
        """Names and attributes that it mentions."""
        return {str(getattr(node, "id", getattr(node, "attr", ""))) for node in self.nodes}


def reach(package: Package) -> list[Piece]:
    """Returns the code of modules that are no tests, and of the functions that it reaches."""
    functions: dict[str, list[Piece]] = {}
    modules = [module for module in package.modules.values() if not module.is_test]
    pieces = [_add_functions(module, functions) for module in modules]
    names = set[str]().union(*(piece.names for piece in pieces))
    while reached := names & functions.keys():
        more = [piece for name in reached for piece in functions.pop(name)]
        pieces += more
        names = names.union(*(piece.names for piece in more))
    return pieces


def _add_functions(module: Module, functions: dict[str, list[Piece]]) -> Piece:
    """Adds the module's functions by name, methods by their class's too; returns the rest."""
    nodes: list[ast.AST] = []
    stack: list[tuple[ast.AST, str]] = [(module.tree, "")]
    parts: list[Any]
    while stack:
        node, owner = stack.pop()
        nodes.append(node)
        if isinstance(node, Function):
            piece = _function_piece(module, node, owner)
            for name in piece.called:
                functions.setdefault(name, []).append(piece)
            defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            parts = [*node.decorator_list, *defaults]
        elif isinstance(node, ast.If) and _is_script_test(node.test):
            parts = node.orelse  # runs where the module is a script
        else:
            parts = list(ast.iter_child_nodes(node))
        owner = node.name if isinstance(node, ast.ClassDef) else owner
        stack += [(part, owner) for part in parts]
    return Piece(module, module.name, nodes, frozenset())


def _function_piece(module: Module, node: Function, owner: str) -> Piece:
    names = {part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)}
    nodes = list(_walk(node.body))
    imports = (part for part in nodes if isinstance(part, ast.Import | ast.ImportFrom))
    return Piece(
        module,
        f"{module.name}:{node.lineno}",
        nodes,
        _locals(node),
        called=frozenset({node.name, owner} - {""}),
        parameters=frozenset(names - {"self", "cls"}),
        imports=dict(pair for part in imports for pair in module.bind(part)),
    )


def _is_script_test(test: ast.expr) -> bool:
    """Whether a condition holds only where the module is a script."""
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq):
        return False
    return getattr(test.left, "id", "") == "__name__" and len(test.ops) == 1


def _walk(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for statement in body:
        yield from ast.walk(statement)


def _locals(function: ast.AST) -> frozenset[str]:
    names: set[str] = set()
    shared: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Global):
            shared.update(node.names)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return frozenset(names - shared)
