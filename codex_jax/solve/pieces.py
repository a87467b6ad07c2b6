"""Pieces: sampled programs for some steps in a row, and the function that composes them."""

import ast
import dataclasses
import math
import textwrap
import warnings
from collections.abc import Iterable, Sequence

from codex_jax.records import Completion


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

    Each is a function of its own within it, since a piece may return early.
    """
    lines = []
    for number, piece in enumerate(pieces, 1):
        function = find_function(piece.source, entry_point)
        function.name = f"step_{number}"
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id == entry_point:
                node.id = function.name  # it calls itself
        function.body = function.body[1:] or [ast.Pass()]  # without the docstring
        lines.append(ast.unparse(ast.fix_missing_locations(function)) + "\n")
    calls = argument
    for number in range(1, len(pieces) + 1):
        calls = f"step_{number}({calls})"
    return textwrap.indent("\n".join(lines) + f"\nreturn {calls}\n", "    ")
