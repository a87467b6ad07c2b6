"""IPython's own syntax in the cells of a notebook, by IPython's own rules.

A line that IPython takes for a command (%magic, !shell, help?) is left out; one inside a string or
a bracket isn't one. What %time runs stays. The cell magics that time or capture Python are left out
alone; the others say which language the rest of the cell is in.
"""

import ast
import functools
import re
import typing

from codex_jax.data.languages import NOTEBOOK, detect, language_named

if typing.TYPE_CHECKING:
    from IPython.core.inputtransformer2 import TransformerManager

# A cheap sign of IPython's syntax: most cells have none.
_SIGN = re.compile(r"^[ \t]*[%!/,;]|=[ \t]*[%!]|\?|^[ \t]*(?:>>>|In \[)", re.MULTILINE)
_RUNS_PYTHON = {"time", "timeit", "capture", "prun", "debug", "memit", "mprun", "lprun", "px"}
_WRITES = {"writefile", "file"}
_CELL_MAGIC = re.compile(r"%%(\w+)[ \t]*(.*)\n?")
_COMMAND = re.compile(r"([ \t]*)(.*?=\s*)?get_ipython\(\)\.(\w+)(\(.*\))\s*$")


def read_cell(source: str, language: str) -> tuple[str, str | None]:
    """Returns the source without a notebook's own commands, and its language.

    The language is None where a cell magic's isn't in the table.
    """
    if language != "Python" or not _SIGN.search(source):
        return source, language
    lines = source.splitlines(keepends=True)
    for transform in _transformer().cleanup_transforms:
        lines = transform(lines)
    text = "".join(lines)
    if not (magic := _CELL_MAGIC.match(text)):
        return _drop_commands(text), language
    name, argument, body = magic[1], magic[2], text[magic.end() :]
    if name in _RUNS_PYTHON:
        return read_cell(body, language)
    words = argument.split()
    if name in _WRITES:
        written = detect(words[-1], body.encode("utf-8", "replace")) if words else None
        return body, None if written == NOTEBOOK else written
    return body, language_named(words[0] if name == "script" and words else name)


@functools.cache
def _transformer() -> "TransformerManager":
    from IPython.core.inputtransformer2 import TransformerManager  # only where a cell needs it

    return TransformerManager()


def _drop_commands(text: str) -> str:
    """Returns a cell's text without its commands; `pass` stands where a block would be empty."""
    transformed = _transform(text)
    unchanged = set(text.splitlines())
    lines: list[str] = []
    filled: list[str] = []
    for line in transformed.splitlines():
        command = None if line in unchanged else _COMMAND.match(line)
        statement = _timed_statement(command) if command else line
        lines += [] if statement is None else [statement]
        filled.append(f"{command[1]}pass" if command and statement is None else statement or "")
    dropped, with_pass = "\n".join(lines), "\n".join(filled)
    return with_pass if not _parses(dropped) and _parses(with_pass) else dropped


def _transform(text: str) -> str:
    try:
        return _transformer().transform_cell(text)
    except (SyntaxError, ValueError, RecursionError):  # no Python at all: as it is
        return text


def _timed_statement(command: re.Match[str]) -> str | None:
    """Returns the statement that %time runs; None for any other command."""
    try:
        arguments = ast.literal_eval(command[4])
    except (ValueError, SyntaxError):
        return None
    if arguments[:1] == ("time",) and arguments[1:] != ("",):
        return f"{command[1]}{command[2] or ''}{arguments[1]}"
    return None


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True
