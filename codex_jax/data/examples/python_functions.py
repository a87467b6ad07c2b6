"""Python functions with their docstrings, cut out of a file by positions of its syntax tree.

A function is moved to column 0 line by line, except inside string literals, whose lines stay as
they are: their content must not change. What then fails to parse, or has another docstring than in
its file, is no pair.
"""

import ast
import inspect
import warnings
from collections.abc import Iterator

import tree_sitter

from codex_jax.data.documents import Pair
from codex_jax.data.examples.dedent import dedent

_STRING_STATEMENTS = {
    "expression_statement",
    "string",
    "concatenated_string",
    "parenthesized_expression",
}


def python_pairs(root: tree_sitter.Node, content: bytes) -> Iterator[Pair]:
    """Yields a pair for each function with a usable docstring, outermost first."""
    stack = [root]
    while stack:
        node = stack.pop()
        stack.extend(reversed(node.children))
        is_function = node.type == "function_definition" and not node.has_error
        if is_function and (pair := _pair(node, content)):
            yield pair


def _pair(node: tree_sitter.Node, content: bytes) -> Pair | None:
    """Returns the pair of a `function_definition`, or None where it has no usable docstring."""
    body = node.child_by_field_name("body")
    statements = [child for child in body.children if child.type != "comment"] if body else []
    if len(statements) < 2 or statements[0].type not in _STRING_STATEMENTS:
        return None
    prose = _evaluate(content[statements[0].start_byte : statements[0].end_byte].decode())
    if prose is None:
        return None
    start, end = _docstring_range(statements, content)
    full = dedent(node, content, (node.start_byte, node.end_byte))
    head = dedent(node, content, (node.start_byte, start))
    docstring = dedent(node, content, (start, end))
    tail = dedent(node, content, (end, node.end_byte))
    pair = Pair(prose, f"{head}{tail}\n", "Python", f"{full}\n", f"{docstring.rstrip()}\n")
    return pair if head + docstring + tail == full and _is_consistent(pair) else None


def _evaluate(source: str) -> str | None:
    """Returns the cleaned docstring that a statement stands for; None if it is no string."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes
        try:
            value = ast.literal_eval(source)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return inspect.cleandoc(value) if isinstance(value, str) else None


def _docstring_range(statements: list[tree_sitter.Node], content: bytes) -> tuple[int, int]:
    """Returns start and end, in bytes, of the docstring with its line or its semicolon."""
    first, following = statements[:2]
    if following.type == ";" or content[first.end_byte : following.start_byte].strip() == b";":
        rest = statements[2] if following.type == ";" and len(statements) > 2 else following
        return first.start_byte, rest.start_byte
    start = content.rfind(b"\n", 0, first.start_byte) + 1
    newline = content.find(b"\n", first.end_byte)
    return start, newline + 1 if newline >= 0 else len(content)


def _is_consistent(pair: Pair) -> bool:
    """Tells whether code and text parse, differ in the docstring alone, and it is the prose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            (function,) = ast.parse(pair.text).body
            (bare,) = ast.parse(pair.code).body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return False
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    if ast.get_docstring(function) != pair.prose:
        return False
    function.body = function.body[1:]
    return ast.dump(function) == ast.dump(bare)
