"""Outlines: functions that a model plans itself, by helper functions that it documents.

A sample of the prompt that defines documented helpers in its body and calls them is an outline. The
helpers' bodies are left out: each is sampled apart, as a function of its own.
"""

import ast
import dataclasses
import inspect
import string
import textwrap
from collections.abc import Iterator, Mapping

from codex_jax import problem_texts
from codex_jax.solve.plan import last_function
from codex_jax.solve.statement_search import Function
from codex_jax.solve.statements import parse_function

MOST_HELPERS = 10
TRACED = "_codex_jax_traced"  # the entry point of a traced program
_MOST_CALLS = 1000  # of helpers that a trace holds


@dataclasses.dataclass(frozen=True)
class Helper:
    """A helper function's name, and the prompt of its body: signature and docstring."""

    name: str
    prompt: str


@dataclasses.dataclass(frozen=True)
class Outline:
    """The body of a function whose helpers have no bodies yet.

    Attributes:
      source: a function with that body; its documented helpers end after their docstrings.
      helpers: in the order in which they are defined.
    """

    source: str
    helpers: tuple[Helper, ...]

    def __getitem__(self, name: str) -> Helper:
        """Returns the helper of that name."""
        return next(helper for helper in self.helpers if helper.name == name)


def make_prompt(function: Function) -> str:
    """Returns the prompt that asks for helpers: the function's own, and the start of a definition.

    A model that reads from left to right knows what is asked for at that position only.
    """
    return function.prompt + lead(function)


def lead(function: Function) -> str:
    """Returns what follows the prompt where a definition begins."""
    last_line = function.prompt.rpartition("\n")[2]
    if last_line in ("", function.indent):
        return function.indent[len(last_line) :] + "def "
    return f"\n{function.indent}def "


def read_outline(function: Function, completion: str) -> Outline | None:
    """Reads the outline that a completion of a function's prompt writes.

    A helper is a documented function of the body, without decorators, that the rest of the body
    calls, or another helper does.

    Returns:
      None where the program doesn't parse, or has no helper or more than `MOST_HELPERS`.
    """
    target = parse_function(function.prompt + completion, function.entry_point)
    if target is None:
        return None
    nodes = [node for node in target.body if isinstance(node, ast.FunctionDef)]
    defined = [node.name for node in nodes]
    helpers = {n.name: n for n in nodes if _is_documented(n) and _is_used(n.name, target)}
    is_ambiguous = len(set(defined)) < len(defined) or function.entry_point in defined
    if is_ambiguous or not 0 < len(helpers) <= MOST_HELPERS:
        return None
    for node in helpers.values():
        node.body = [_docstring(node)]
    try:
        source = write_function(target.body[1:])
        start = _preamble(function)
        prompts = [Helper(n, start + ast.unparse(node) + "\n") for n, node in helpers.items()]
    except RecursionError:
        return None
    return Outline(source, tuple(prompts))


def _is_documented(node: ast.FunctionDef) -> bool:
    return not node.decorator_list and bool(ast.get_docstring(node))


def _is_used(name: str, target: ast.FunctionDef) -> bool:
    """Whether a statement other than the helper's own definition names it."""
    others = [n for n in target.body if not (isinstance(n, ast.FunctionDef) and n.name == name)]
    nodes = (node for statement in others for node in ast.walk(statement))
    return any(isinstance(node, ast.Name) and node.id == name for node in nodes)


def _docstring(node: ast.FunctionDef) -> ast.Expr:
    """Returns the docstring's statement, as one of a function that isn't nested."""
    text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "")
    if "\n" in text:
        text = textwrap.indent(f"{text}\n", "    ").lstrip() + "    "
    return ast.Expr(ast.Constant(text))


def _preamble(function: Function) -> str:
    """Returns the prompt's text before its last function: imports, and what else it defines."""
    node = last_function(function.prompt, function.entry_point)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "".join(problem_texts.split_lines(function.prompt)[: first - 1])


def write_function(statements: list[ast.stmt]) -> str:
    """Returns the source of a function with these statements; its header is one line."""
    function = ast.parse("def outline(): pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = statements
    return ast.unparse(ast.fix_missing_locations(function)) + "\n"


def compose(outline: Outline, sources: Mapping[str, ast.FunctionDef]) -> str:
    """Returns the outline's body with these functions for helpers of their names."""
    return _write_body(sources.get(getattr(n, "name", ""), n) for n in _statements(outline))


def make_traced_program(
    function: Function, outline: Outline, sources: Mapping[str, ast.FunctionDef]
) -> str:
    """Returns a program that stops where it calls a helper without a body.

    Its entry point `TRACED` returns three values: the name of that helper, or ""; the function's
    own answer; and what the helpers before returned, and left in their arguments.

    Args:
      function: what the prompt asks for.
      outline: of its body.
      sources: functions by the names of helpers; the others have no bodies.
    """
    statements: list[ast.stmt] = []
    names = {helper.name for helper in outline.helpers}
    for node in _statements(outline):
        name = getattr(node, "name", "")
        if name not in names:
            statements.append(node)
        elif name in sources:
            mark = f"{name} = _codex_jax_record({name!r}, {name})"
            statements += [sources[name], *ast.parse(mark).body]
        else:
            statements += ast.parse(f"{name} = _codex_jax_stop({name!r})").body
    body = function.prompt + _separator(function) + _write_body(statements)
    return body + _DRIVER.substitute(function=function.entry_point, most=_MOST_CALLS)


def complete(function: Function, outline: Outline, sources: Mapping[str, ast.FunctionDef]) -> str:
    """Returns the completion of the function's prompt that `compose` makes."""
    return _separator(function) + compose(outline, sources)


def _separator(function: Function) -> str:
    """Returns a line end where the prompt's last line has none."""
    return "" if function.prompt.endswith("\n") else "\n"


def _statements(outline: Outline) -> list[ast.stmt]:
    (function,) = ast.parse(outline.source).body
    assert isinstance(function, ast.FunctionDef)
    return function.body


def _write_body(statements: Iterator[ast.stmt] | list[ast.stmt]) -> str:
    return write_function(list(statements)).partition("\n")[2].lstrip("\n")


_DRIVER = string.Template("""

class _CodexJaxStop(BaseException):
    pass

_codex_jax_stops, _codex_jax_calls, _codex_jax_depth = [], [], [0]

def _codex_jax_stop(name):
    def call(*arguments, **named):
        _codex_jax_stops.append(name)
        raise _CodexJaxStop
    return call

def _codex_jax_draw(value):
    import collections.abc, itertools
    if isinstance(value, collections.abc.Iterator):
        return list(itertools.islice(value, 100_000))
    return value

def _codex_jax_copy(value):
    import copy
    try:
        return copy.deepcopy(value)
    except Exception:
        return object()

def _codex_jax_record(name, function):
    def call(*arguments, **named):
        _codex_jax_depth[0] += 1
        try:
            value = function(*arguments, **named)
            items = _codex_jax_draw(value)
        finally:
            _codex_jax_depth[0] -= 1
        if not _codex_jax_depth[0] and len(_codex_jax_calls) < $most:
            _codex_jax_calls.append(_codex_jax_copy([name, items, list(arguments), named]))
        return value if items is value else iter(items)
    return call

def _codex_jax_traced(*arguments):
    _codex_jax_stops.clear(), _codex_jax_calls.clear()
    _codex_jax_depth[0] = 0
    value = None
    try:
        value = _codex_jax_draw($function(*arguments))
    except BaseException:
        if not _codex_jax_stops:
            raise
    if _codex_jax_stops:
        return [_codex_jax_stops[0], None, _codex_jax_copy(_codex_jax_calls)]
    return ["", value, _codex_jax_copy(_codex_jax_calls)]
""")
