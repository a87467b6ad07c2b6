"""A program's own text: edited at the positions of its syntax tree, otherwise as it was written.

Where a text doesn't parse to the statements that it should, they are unparsed instead: such as a
body on its header's line, and a name in `f"{name = }"`, which is text too.
"""

import ast
import contextlib
import io
import tokenize
import warnings
from collections.abc import Sequence

from codex_jax import problem_texts

INDENT = "    "


def find_lines(source: str, node: ast.stmt) -> tuple[int, int]:
    """Returns where a statement's first line begins, of its decorators too, and its last ends."""
    decorators = getattr(node, "decorator_list", ())
    number = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    lines = problem_texts.split_lines(source)
    return sum(map(len, lines[: number - 1])), sum(map(len, lines[: node.end_lineno]))


def find_body(source: str, function: ast.FunctionDef) -> tuple[int, str]:
    """Returns where the lines of a function's body begin, with comments, and its indentation."""
    start, stop = find_lines(source, function.body[0])
    line = source[start:stop]
    before = problem_texts.split_lines(source[:start])
    while before and before[-1].strip()[:1] in ("", "#"):
        start -= len(before.pop())
    return start, line[: len(line) - len(line.lstrip())]


def reindent(text: str, old: str = "", new: str = INDENT) -> str:
    """Returns a text whose lines begin with one indentation in place of another.

    Blank lines and those that begin within a string stay as they are.
    """
    fixed: set[int] = set()
    lines = problem_texts.split_lines(text)
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(text, newline="").readline):
            fixed.update(range(token.start[0] + 1, token.end[0] + 1))
    for number, line in enumerate(lines, 1):
        if line.strip() and line.startswith(old) and number not in fixed:
            lines[number - 1] = new + line[len(old) :]
    return "".join(lines)


def write(text: str, statements: Sequence[ast.stmt]) -> str:
    """Returns lines, indented once, of these statements: the text if it is that, or unparsed."""
    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        with warnings.catch_warnings(action="ignore"):  # of unusual escapes
            (block,) = ast.parse(f"class Block:\n{INDENT}pass\n{text}").body
        assert isinstance(block, ast.ClassDef)
        if [*map(ast.dump, block.body[1:])] == [*map(ast.dump, statements)]:
            return text
    return reindent("".join(ast.unparse(ast.fix_missing_locations(s)) + "\n" for s in statements))
