"""Statements of a function's body: what a sample writes of them, and programs that stop early.

A body grows by whole top-level statements. A program that stops after some of them returns its
variables instead of going on.
"""

import ast
import dataclasses
import itertools
import warnings

from codex_jax import problem_texts

OPEN = "<open>"  # begins the answer of a program that reached the end of its statements


@dataclasses.dataclass(frozen=True)
class Body:
    """A function's body, or the first statements of it.

    Attributes:
      text: what follows the prompt.
      statements: how many top-level ones it has.
      is_final: whether nothing is to follow.
    """

    text: str
    statements: int
    is_final: bool


def read_bodies(
    prompt: str, before: Body, completion: str, entry_point: str, *, is_complete: bool
) -> list[Body]:
    """Returns the bodies that a sample goes through, the shortest first; those that parse.

    Args:
      prompt: the prompt of the full function.
      before: the statements that the sample follows.
      completion: the sample.
      entry_point: the function's name.
      is_complete: whether it ended by itself. The last statement of another one is cut off, and
        left out.

    Returns:
      One for each of its statements; the last is final, if the sample is complete.
    """
    start = prompt + before.text
    source = start + completion
    while not (function := parse_function(source, entry_point)):
        is_complete = False
        source = source.rstrip("\n").rpartition("\n")[0] + "\n"
        if len(source) <= len(start):
            return []
    if any(map(_is_yield, ast.walk(function))):
        generator = Body(before.text + completion, before.statements + 1, is_final=True)
        return [generator] if is_complete else []  # a generator isn't stopped early
    line_ends = list(itertools.accumulate(map(len, problem_texts.split_lines(source))))
    written = function.body[1:]  # without the docstring
    ends = dict.fromkeys(line_ends[(statement.end_lineno or 1) - 1] for statement in written)
    bodies = [
        Body(source[len(prompt) : end].rstrip("\n") + "\n", before.statements + number, False)
        for number, end in enumerate((end for end in ends if end > len(start)), 1)
    ]
    if not is_complete:
        return bodies[:-1]
    return [*bodies[:-1], dataclasses.replace(bodies[-1], is_final=True)] if bodies else []


def parse_function(source: str, entry_point: str) -> ast.FunctionDef | None:
    """Returns the last function of that name, if the source is a program that has it."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of unusual escapes
            compile(source, "body", "exec", dont_inherit=True)
            nodes = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    named = [n for n in nodes if isinstance(n, ast.FunctionDef) and n.name == entry_point]
    return named[-1] if named else None


def _is_yield(node: ast.AST) -> bool:
    return isinstance(node, ast.Yield | ast.YieldFrom)


def make_program(prompt: str, body: Body, indent: str) -> str:
    """Returns a program's source; one that isn't final returns its variables at its end."""
    if body.is_final:
        return prompt + body.text
    values = "{n: object() if hasattr(v, '__next__') else v for n, v in locals().items()}"
    return f"{prompt}{body.text}{indent}return {OPEN!r}, {values}\n"


def read_loop_variables(source: str, entry_point: str) -> set[str]:
    """Returns the names that the function's top-level loops bind: what they leave isn't a state."""
    function = parse_function(source, entry_point)
    loops = [n for n in function.body if isinstance(n, ast.For)] if function else []
    return {
        name.id for loop in loops for name in ast.walk(loop.target) if isinstance(name, ast.Name)
    }
