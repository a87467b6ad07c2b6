"""Problems as the Codex paper's two training texts: words to code, and code to words.

Codex-S reads a prompt and writes the solution (section 4). Codex-D reads signature and body and
writes the docstring (section 5). Its context is the program without the docstring, and behind the
body opening quotes, where the docstring is written, cleaned of its indentation and spelled in one
form whatever the source's. A sampled docstring ends at its closing quotes.
"""

import ast
import contextlib
import inspect
import warnings
from typing import NamedTuple

_QUOTES = '"""'
_SPACES = "    "


class Continuation(NamedTuple):
    """A text to write, behind a context to read."""

    context: str
    text: str


class _Parts(NamedTuple):
    """A prompt around its function's docstring."""

    head: str  # whole lines before the docstring
    indent: str
    docstring: str  # its value; "" without one
    rest: str  # whole lines behind it


def split_lines(source: str) -> list[str]:
    """Returns a program's lines with their ends, as ast counts them: not at form feeds."""
    return [line.decode() for line in source.encode().splitlines(keepends=True)]


def find_span(source: str, node: ast.expr | ast.stmt) -> tuple[int, int]:
    """Returns where a node begins and ends in its source, in characters; ast counts bytes."""
    lines = split_lines(source)

    def offset(line: int, column: int) -> int:
        before = lines[line - 1].encode()[:column].decode(errors="ignore")
        return sum(map(len, lines[: line - 1])) + len(before)

    end_line, end_column = node.end_lineno or 1, node.end_col_offset or 0
    return offset(node.lineno, node.col_offset), offset(end_line, end_column)


def to_code_text(prompt: str, solution: str) -> Continuation:
    """Returns the solution behind its prompt; it ends in a single newline."""
    return Continuation(prompt, solution.rstrip() + "\n")


def to_docstring_text(prompt: str, solution: str, entry_point: str = "") -> Continuation | None:
    """Returns the docstring behind the program without it.

    Args:
      prompt: Ends in the header of a Python function, with its docstring or without.
      solution: The function's body.
      entry_point: The function's name; "" is the last one.

    Returns:
      Context and docstring, "" where the prompt has none; None where it has no such function.
    """
    parts = _split(prompt, entry_point, solution)
    if parts is None:
        return None
    body = parts.rest + solution.rstrip() + "\n"
    lines = _spell(parts.docstring).split("\n")
    lines = [lines[0], *(parts.indent + line if line else "" for line in lines[1:])]
    text = "\n".join([*lines, f"{parts.indent}{_QUOTES}\n"]) if parts.docstring else ""
    return Continuation(f"{parts.head}{body}{parts.indent}{_QUOTES}", text)


def with_docstring(
    prompt: str, sample: str, entry_point: str = "", solution: str = ""
) -> str | None:
    """Returns a prompt whose function has a sampled docstring in place of its own, if any.

    Args:
      prompt: As `to_docstring_text` takes it.
      sample: A completion of that function's context; what follows closing quotes is cut off.
      entry_point: The function's name; "" is the last one.
      solution: The function's body, for its indentation.

    Returns:
      The prompt; None where it has no such function.
    """
    parts = _split(prompt, entry_point, solution)
    if parts is None:
        return None
    words = sample.partition(_QUOTES)[0].rstrip()
    docstring = f"{parts.indent}{_QUOTES}{words}\n{parts.indent}{_QUOTES}\n"
    return parts.head + docstring + parts.rest


def _spell(value: str) -> str:
    """Spells a docstring's value as it stands between triple quotes."""
    text = inspect.cleandoc(value).replace("\\", "\\\\").replace(_QUOTES, '\\"\\"\\"')
    return "".join(map(_spell_character, text))


def _spell_character(character: str) -> str:
    if character < " " and character != "\n":
        return f"\\x{ord(character):02x}"
    return f"\\u{ord(character):04x}" if "\ud800" <= character <= "\udfff" else character


def _indent(solution: str) -> str:
    """Returns the indentation of a body's first statement; four spaces without one."""
    lines = (line for line in solution.splitlines() if line.strip() and line.strip()[0] != "#")
    first = next(lines, "")
    return first[: len(first) - len(first.lstrip())] or _SPACES


def _split(prompt: str, entry_point: str, solution: str) -> _Parts | None:
    tree = _parse(prompt)
    functions = [
        node
        for node in (tree.body if tree else ())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and entry_point in ("", node.name)
    ]
    if not functions:
        return None
    first = functions[-1].body[0]
    value = first.value if isinstance(first, ast.Expr) else None
    if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
        return _Parts(prompt.rstrip() + "\n", _indent(solution), "", "")
    start, end = find_span(prompt, value)
    line_start = prompt.rfind("\n", 0, start) + 1
    indent = prompt[line_start:start]
    is_own_line = not indent.strip()
    head = prompt[: line_start if is_own_line else start]
    rest = prompt[end:].partition("\n")[2]
    return _Parts(
        head if is_own_line else head.rstrip() + "\n",
        indent if is_own_line else _indent(solution),
        value.value,
        rest.rstrip() + "\n" if rest.strip() else "",
    )


def _parse(prompt: str) -> ast.Module | None:
    """Parses a prompt; one that ends in a function's header gets a body."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        for text in (prompt, f"{prompt.rstrip()}\n{_SPACES}pass\n"):
            with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                return ast.parse(text)
    return None
