"""Pieces: sampled programs for some steps in a row, and the function that composes them."""

import ast
import dataclasses
import math
import re
import warnings
from collections.abc import Iterable, Sequence

from codex_jax import problem_texts
from codex_jax.records import Completion
from codex_jax.solve import source_text


@dataclasses.dataclass(frozen=True)
class Piece:
    """A program for the steps from `start` to `stop`.

    Attributes:
      start: index of the first step.
      stop: index after the last step.
      source: the window's prompt and a completion.
      mass: probability of all its samples together, by that of the window's likeliest text;
        texts that occur twice count once, by the likelier of their tokenizations.
    """

    start: int
    stop: int
    source: str
    mass: float


def collect_pieces(
    start: int, stop: int, prompt: str, entry_point: str, samples: Iterable[Completion]
) -> list[Piece]:
    """Returns the distinct programs of a window's samples that parse, the likeliest first.

    Programs that differ in layout and comments alone are one, whose mass is the sum over its texts.
    """
    logprobs: dict[str, float] = {}
    for sample in samples:
        logprob = min(0.0, sample.sum_logprob or 0.0)
        logprobs[sample.completion] = max(logprob, logprobs.get(sample.completion, logprob))
    largest = max(logprobs.values(), default=0.0)  # masses count by their ratios within a window
    texts = {text: math.exp(logprob - largest) for text, logprob in logprobs.items()}
    by_tree: dict[str, tuple[str, float]] = {}
    for text, mass in texts.items():
        source = prompt + text
        try:
            with warnings.catch_warnings(action="ignore"):  # of unusual escapes
                compile(source, "piece", "exec", dont_inherit=True)
                function = find_function(source, entry_point)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        key = ast.dump(function)
        first, total = by_tree.get(key, (source, 0.0))
        by_tree[key] = first, total + mass
    pieces = [Piece(start, stop, source, mass) for source, mass in by_tree.values()]
    return sorted(pieces, key=lambda piece: (-piece.mass, piece.source))


def find_function(source: str, entry_point: str) -> ast.FunctionDef:
    """Parses a source and returns the last function of that name.

    Raises:
      SyntaxError, ValueError: it doesn't parse, or has no such function.
    """
    functions = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == entry_point
    ]
    if not functions:
        raise ValueError(f"no function {entry_point}")
    return functions[-1]


def compose(pieces: Sequence[Piece], entry_point: str, argument: str) -> str:
    """Returns the body of a function that applies the pieces one after the other.

    Each is a function of its own within it, since a piece may return early, and is written as it
    was sampled.
    """
    lines, calls = [], argument
    for number, piece in enumerate(pieces, 1):
        lines.append(_write_step(piece.source, entry_point, f"step_{number}"))
        calls = f"step_{number}({calls})"
    return "\n".join(lines) + f"\n{source_text.INDENT}return {calls}\n"


def _write_step(source: str, entry_point: str, name: str) -> str:
    """Returns a piece's function, indented, under another name and without its docstring."""
    function = find_function(source, entry_point)
    start, stop = source_text.find_lines(source, function)
    edits = [(0, start, ""), _cut_docstring(source, function), (stop, len(source), "")]
    definition, _ = problem_texts.find_span(source, function)
    if header := re.compile(r"def[\s\\]+\w+").match(source, definition):
        edits.append((*header.span(), f"def {name}"))
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == entry_point:  # it calls itself
            edits.append((*problem_texts.find_span(source, node), name))
            node.id = name
    function.name = name
    function.body = function.body[1:] or [ast.Pass()]
    for start, stop, text in sorted(edits, reverse=True):
        source = source[:start] + text + source[stop:]
    return source_text.write(source_text.reindent(source.rstrip("\n") + "\n"), [function])


def _cut_docstring(source: str, function: ast.FunctionDef) -> tuple[int, int, str]:
    """Returns the edit that leaves a docstring out, with its lines if they hold nothing else."""
    docstring, *statements = function.body
    start, stop = problem_texts.find_span(source, docstring)
    if not statements:
        return start, stop, "pass"
    if statements[0].lineno == docstring.end_lineno:  # behind a semicolon
        return start, problem_texts.find_span(source, statements[0])[0], ""
    return *source_text.find_lines(source, docstring), ""
