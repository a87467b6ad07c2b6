"""Rules by which a function makes a useful problem, or not."""

import ast
import collections
from collections.abc import Sequence
from typing import Any

from codex_jax.curate.inputs import literals
from codex_jax.curate.problems.cases import Case

MIN_STATEMENTS = 2
_MIN_DOCSTRING_WORDS = 4
_MAX_SHARE = 0.85  # of the most frequent output
_MAX_LINES = 60  # of a definition without its docstring
_MAX_DOCSTRING = 2500
# Expressions that are as much to write as a statement.
_RICH = (
    ast.BoolOp | ast.IfExp | ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp
    | ast.GeneratorExp | ast.BinOp | ast.Compare | ast.Call | ast.Subscript
)  # fmt: skip
_RICH_AS_A_STATEMENT = 2  # such expressions in one statement that count as a second one


class RejectedError(Exception):
    """A function or its cases make no useful problem; the reason in a few words."""


def check_function(node: ast.FunctionDef) -> None:
    """Checks what can be seen without running a function.

    Raises:
      RejectedError: it makes no useful problem.
    """
    if not any(parameter for parameter in ast.walk(node.args) if isinstance(parameter, ast.arg)):
        raise RejectedError("no arguments")
    if any("overload" in ast.unparse(decorator) for decorator in node.decorator_list):
        raise RejectedError("an overload")
    docstring = ast.get_docstring(node) or ""
    if docstring:
        check_docstring(docstring)
    body = node.body[1:] if docstring else node.body
    if not body:
        raise RejectedError("an empty body")
    assert body[-1].end_lineno is not None
    if body[-1].end_lineno - body[0].lineno + 1 > _MAX_LINES:
        raise RejectedError("a long body")
    _check_body(node, body)


def check_docstring(docstring: str) -> None:
    """Checks a docstring.

    Raises:
      RejectedError: it says little or too much, or that the function is deprecated.
    """
    if len(docstring.split()) < _MIN_DOCSTRING_WORDS:
        raise RejectedError("its docstring says little")
    if "deprecated" in docstring.lower():
        raise RejectedError("deprecated")
    if len(docstring) > _MAX_DOCSTRING:
        raise RejectedError("a long docstring")


def _check_body(node: ast.FunctionDef, body: Sequence[ast.stmt]) -> None:
    inner = [part for statement in body for part in ast.walk(statement)]
    if any(isinstance(part, ast.Await | ast.AsyncFor | ast.AsyncWith) for part in inner):
        raise RejectedError("async function")
    is_answering = is_generator(node) or any(
        isinstance(part, ast.Return) and part.value is not None for part in inner
    )
    if not is_answering:
        raise RejectedError("returns nothing")
    statements = sum(isinstance(part, ast.stmt) for part in inner)
    rich = sum(isinstance(part, _RICH) for part in inner)
    if statements < MIN_STATEMENTS and rich < _RICH_AS_A_STATEMENT:
        raise RejectedError("fewer than 2 statements")


def is_generator(node: ast.FunctionDef) -> bool:
    """Whether a function yields, itself and not in a function within it."""
    stack: list[ast.AST] = list(node.body)
    while stack:
        part = stack.pop()
        if isinstance(part, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            stack += ast.iter_child_nodes(part)
    return False


def check_cases(cases: Sequence[Case]) -> None:
    """Checks that trivial bodies would fail: a constant, an argument, its negation or its text.

    Raises:
      RejectedError: one of them passes all cases.
    """
    outputs = collections.Counter(case.output for case in cases)
    if len(outputs) < 2:
        raise RejectedError("fewer than 2 outputs")
    if max(outputs.values()) > _MAX_SHARE * len(cases):
        raise RejectedError("nearly always the same output")
    if any(case.arguments is not None for case in cases):
        return
    slots = {
        *range(min(len(case.call.arguments) for case in cases)),
        *set.intersection(*(set(case.call.named) for case in cases)),
    }
    for slot in slots:
        pairs = [(_argument(case, slot), case.value) for case in cases]
        if all(literals.is_equal(argument, value) for argument, value in pairs):
            raise RejectedError("returns an argument")
        if all(literals.is_equal(str(argument), value) for argument, value in pairs):
            raise RejectedError("returns an argument's text")


def _argument(case: Case, slot: Any) -> Any:
    return case.call.arguments[slot] if isinstance(slot, int) else case.call.named[slot]
