"""Literals at the beginning of plain text, as prompts show them: Python's, and arithmetic."""

import ast
import operator
import re
import warnings
from typing import Any

_LONGEST = 1500  # characters of an expression: deeper or larger ones are too much for Python
_ENDS = re.compile(r"(?<=[\])}'\".\w])(?!\w)")
_OPENING = re.compile(r"[-+(\[{]")
_CONTINUED = re.compile(r"\w|(?!\"\"\"|''')['\"]|[^\S\n]*(?:[*/%+]|==)")
_NAMES = {"true": True, "false": False, "none": None, "null": None}
_OPERATORS: dict[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def read_literal(text: str) -> tuple[Any, int]:
    """Returns the value of the longest literal that the text begins with, and its length.

    It may go over several lines if it begins with a bracket. `true`, `false` and `null` count, and
    so does arithmetic on numbers.

    Raises:
      ValueError: there is none, or it goes on as a word, another string or more arithmetic.
    """
    limit = _LONGEST if _OPENING.match(text) else (text + "\n").index("\n")
    ends = [match.end() for match in _ENDS.finditer(text[:limit])]
    for end in reversed(ends):
        try:
            value = evaluate(parse_expression(text[:end]))
        except ValueError:
            continue
        if _CONTINUED.match(text, end):
            break
        return value, end
    raise ValueError(f"no literal: {text[:40]!r}")


def parse_expression(text: str) -> ast.expr:
    """Parses an expression; ValueError for what isn't one, or a tuple without its parentheses."""
    if len(text) > _LONGEST:
        raise ValueError(f"an expression of {len(text)} characters")
    try:
        with warnings.catch_warnings(action="ignore"):
            node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"no expression: {text[:40]!r}") from None
    if isinstance(node, ast.Tuple) and not text.lstrip().startswith("("):
        raise ValueError(f"several expressions: {text[:40]!r}")
    return node


def evaluate(node: ast.expr) -> Any:
    """Returns the value of a literal or of arithmetic on literals; ValueError for others."""
    if isinstance(node, ast.Name) and node.id.lower() in _NAMES:
        return _NAMES[node.id.lower()]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = evaluate(node.left), evaluate(node.right)
        if isinstance(left, int | float) and isinstance(right, int | float):
            try:
                return _OPERATORS[type(node.op)](left, right)
            except (ArithmeticError, ValueError):
                raise ValueError("arithmetic without a value") from None
    if isinstance(node, ast.List | ast.Tuple):
        items = [evaluate(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Constant) and node.value is ...:
        raise ValueError("an ellipsis, which stands for something else")
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise ValueError("no literal") from None
