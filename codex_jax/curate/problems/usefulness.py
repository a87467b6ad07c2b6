"""Rules by which a function makes a useful problem, or not."""

import ast
import collections
import re
from collections.abc import Iterator, Sequence
from typing import Any

from codex_jax.curate.inputs import literals
from codex_jax.curate.problems.cases import Case

MIN_STATEMENTS = 2
_MIN_DOCSTRING_WORDS = 4
_MAX_SHARE = 0.85  # of the most frequent output
_MAX_LINES = 60  # of a definition without its docstring
_MAX_DOCSTRING = 2500
_MIN_LETTERS = 3  # of a text that can't be guessed
_MIN_DIGITS = 7  # of such a number
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


def check_stated(prompt: str, body: Sequence[ast.stmt], cases: Sequence[Case]) -> None:
    """Checks that no answer needs a text or a long decimal number that stands in the body alone.

    Args:
      prompt: What a solver reads; letters' case doesn't matter.
      body: Statements of the reference, without its docstring.
      cases: Calls and answers. A text that the call brings isn't the body's own.

    Raises:
      RejectedError: it does.
    """
    prompt = prompt.lower()
    digits = re.sub(r"[._,]", "", prompt)
    parts = (part for statement in body for part in ast.walk(statement))
    for constant in (part.value for part in parts if isinstance(part, ast.Constant)):
        if isinstance(constant, str) and _is_unstated(constant.strip(), prompt, cases):
            raise RejectedError("a text that only the body states")
        if isinstance(constant, float):
            number = repr(constant).partition("e")[0].replace(".", "").strip("0")
            if len(number) >= _MIN_DIGITS and number not in digits:
                raise RejectedError("a number that only the body states")


def _is_unstated(text: str, prompt: str, cases: Sequence[Case]) -> bool:
    if sum(map(str.isalpha, text)) < _MIN_LETTERS or text.lower() in prompt:
        return False
    for case in cases:
        is_answered = any(text in answer for answer in _texts([case.value, case.arguments]))
        arguments = _texts([list(case.call.arguments), case.call.named])
        if is_answered and not any(text.lower() in argument.lower() for argument in arguments):
            return True
    return False


def _texts(value: Any) -> Iterator[str]:
    """Yields the texts within a plain value."""
    yield from (part for part in literals.parts(value) if isinstance(part, str))


def _argument(case: Case, slot: Any) -> Any:
    return case.call.arguments[slot] if isinstance(slot, int) else case.call.named[slot]
