"""Counts names and sentences that a reader would have to translate: see CONTRIBUTING.md, Words."""

import ast
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

# Names that say how a value came about, or nothing at all, and not what it holds.
VAGUE_VARIABLES = """
    found told said given asked known kind kinds place places held kept wanted made whole thing
    things mine theirs ours turn turns one ones world news heat heats patience tired
"""
# Names of functions that are no verbs.
VAGUE_FUNCTIONS = """
    tidied opened tested measured held tried understood described completed uncollected counted
    chosen shaped soiled loaded lifted packed drawn shown told asked placed scattered selected ended
    summed restored of like near put take apart say fresh plain one born due surrender foresee
    let_go like_it as_it_is
"""
CLAUSE = re.compile(r"(What|One|How|Of|Where|Which|Whatever|Whoever|As|To|For|By|With|From)\b")
TURN = re.compile(r"\bturn (?!on\b|off\b)\w")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Fault(NamedTuple):
    """A name or sentence that isn't plain."""

    category: str  # variable, function, docstring or message
    path: pathlib.Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.category} {self.text!r}"


class Words(NamedTuple):
    """The faults of a folder, and the sizes that they are set against."""

    faults: list[Fault]
    lines: int
    docstrings: int

    def texts(self, category: str) -> list[str]:
        return [str(fault) for fault in self.faults if fault.category == category]


def check_folder(folder: pathlib.Path) -> Words:
    """Reads every Python file under a folder."""
    faults, lines, docstrings = [], 0, 0
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text("utf-8")
        tree = ast.parse(source)
        lines += source.count("\n")
        docstrings += sum(_docstring(node) is not None for node in ast.walk(tree))
        faults += [Fault(category, path, line, text) for category, line, text in check(tree)]
    return Words(faults, lines, docstrings)


def check(tree: ast.AST) -> Iterator[tuple[str, int, str]]:
    """Yields (category, line, text) of each fault of a module."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 1)
        name = node.id if isinstance(node, ast.Name) else getattr(node, "arg", None)
        if isinstance(node, ast.Name | ast.arg) and name.strip("_") in VAGUE_VARIABLES.split():
            yield "variable", line, name
        if isinstance(node, Function) and node.name.strip("_") in VAGUE_FUNCTIONS.split():
            yield "function", line, node.name
        if (text := _docstring(node)) and CLAUSE.match(text):
            yield "docstring", line, text.splitlines()[0]
        if (text := _message(node)) and TURN.search(text):
            yield "message", line, text


def _docstring(node: ast.AST) -> str | None:
    has_one = isinstance(node, Function | ast.ClassDef | ast.Module)
    return ast.get_docstring(node) if has_one else None


def _message(node: ast.AST) -> str:
    """The literal parts of an exception's message, or an empty string for any other node."""
    if not isinstance(node, ast.Call):
        return ""
    if not getattr(node.func, "id", getattr(node.func, "attr", "")).endswith("Error"):
        return ""
    constants = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
    return " ".join(value for value in constants if isinstance(value, str))
