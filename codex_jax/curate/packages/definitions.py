"""Definitions of a module: its text, and the global names that it needs."""

import ast
import symtable
import textwrap
from typing import NamedTuple

from codex_jax.curate.packages.modules import Module


class Names(NamedTuple):
    """Global names that a definition refers to."""

    needed: list[str]
    annotations: list[str]  # in annotations only
    local: frozenset[str]  # bound in some scope within it


def source_text(module: Module, node: ast.stmt) -> str:
    """Returns a statement's lines, comments included; unparsed if they hold anything else."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    assert node.end_lineno is not None
    text = textwrap.dedent("".join(module.lines[first - 1 : node.end_lineno]))
    text = text.rstrip("\n") + "\n"
    try:
        body = ast.parse(text).body
    except SyntaxError:
        body = []
    if len(body) == 1 and ast.dump(body[0]) == ast.dump(node):
        return text
    return ast.unparse(node) + "\n"


def global_names(text: str) -> Names:
    """Returns the global names of a definition's text.

    Raises:
      ValueError: it assigns to a global, or Python's own analysis refuses it.
    """
    try:
        table = symtable.symtable(text, "definition", "exec")
        tree = ast.parse(text)
    except (SyntaxError, RecursionError) as error:
        raise ValueError(str(error)) from None
    references, local = _references(table, is_top=True)
    outside = _names_outside_annotations(tree)
    return Names(
        [name for name in references if name in outside],
        [name for name in references if name not in outside],
        frozenset(local),
    )


def _references(table: symtable.SymbolTable, *, is_top: bool) -> tuple[list[str], set[str]]:
    names: list[str] = []
    local: set[str] = set()
    for symbol in table.get_symbols():
        if symbol.is_declared_global() and symbol.is_assigned():
            raise ValueError(f"assigns to the global {symbol.get_name()}")
        if symbol.is_referenced() and (is_top or symbol.is_global()):
            names.append(symbol.get_name())
        elif not is_top and not symbol.is_global():
            local.add(symbol.get_name())
    for child in table.get_children():
        inner, bound = _references(child, is_top=False)
        names += [name for name in inner if name not in names]
        local |= bound
    return names, local


def _names_outside_annotations(tree: ast.AST) -> set[str]:
    annotations: set[ast.AST] = set()
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            if isinstance(hint := getattr(node, field, None), ast.AST):
                annotations.update(ast.walk(hint))
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return {node.id for node in nodes if node not in annotations}


class Renamer(ast.NodeTransformer):
    """Renames globals, and replaces attributes of modules by names of their own.

    Args:
      names: Global name → new name.
      attributes: Dotted expression, such as "utils.clamp" → new name.
    """

    def __init__(self, names: dict[str, str], attributes: dict[str, str]):
        self.names, self.attributes = names, attributes

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Renames one reference."""
        return ast.copy_location(ast.Name(self.names.get(node.id, node.id), node.ctx), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Replaces one attribute of a module."""
        if (name := self.attributes.get(ast.unparse(node))) is not None:
            return ast.copy_location(ast.Name(name, node.ctx), node)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Renames a definition and what is in it."""
        node.name = self.names.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Renames a class and what is in it."""
        node.name = self.names.get(node.name, node.name)
        return self.generic_visit(node)


def rename(text: str, names: dict[str, str], attributes: dict[str, str]) -> str:
    """Returns the definition's text with other names; the same text if none differs."""
    names = {name: new for name, new in names.items() if name != new}
    if not names and not attributes:
        return text
    return ast.unparse(Renamer(names, attributes).visit(ast.parse(text))) + "\n"
