"""Decontamination of problems: words of a benchmark, its code under other names, its behavior."""

import ast
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from codex_jax import records
from codex_jax.curate.execution import Call, Session
from codex_jax.curate.filters import near_duplicates
from codex_jax.curate.filters.benchmarks import Benchmark, Probe
from codex_jax.curate.problems.growth import fits

_WORDS = re.compile(r"\w+")
_WORD_GRAM = 13  # words, as GPT-3's own decontamination (arXiv 2005.14165, appendix C)
_CODE_JACCARD = 0.7
_FEWEST_TOKENS = 20  # of code that is compared
_BATCH = 64  # calls of one program
_MOST_REORDERED = 3  # arguments that are tried in each order
_LOST_RUNS = 4  # programs that may end early before the rest is left out


class TextIndex:
    """Finds benchmarks' words, and their code whatever its names, layout and comments."""

    def __init__(self, benchmarks: Sequence[Benchmark]):
        self._grams: dict[tuple[str, ...], str] = {}
        self._codes: dict[Any, set[int]] = {}
        self._sets: list[frozenset] = []
        self._names: list[str] = []
        for benchmark in benchmarks:
            for gram in _grams(benchmark.text):
                self._grams.setdefault(gram, benchmark.name)
            if benchmark.source:
                self._add_code(benchmark)

    def _add_code(self, benchmark: Benchmark) -> None:
        tokens = near_duplicates.code_tokens(
            _function_text(benchmark.source, benchmark.entry_point)
        )
        if len(tokens) >= _FEWEST_TOKENS:
            for shingle in near_duplicates.shingles(tokens):
                self._codes.setdefault(shingle, set()).add(len(self._sets))
            self._sets.append(near_duplicates.shingles(tokens))
            self._names.append(benchmark.name)

    def find(self, problem: records.Problem) -> str:
        """Returns the benchmark's task whose words or code the problem has, or ""."""
        source = problem.prompt + problem.canonical_solution
        grams = _grams(source)
        if name := next((self._grams[gram] for gram in grams if gram in self._grams), ""):
            return name
        tokens = near_duplicates.code_tokens(_function_text(source, problem.entry_point))
        items = near_duplicates.shingles(tokens)
        for index in {i for item in items for i in self._codes.get(item, ())}:
            shared = len(items & self._sets[index])
            if shared / (len(items) + len(self._sets[index]) - shared) >= _CODE_JACCARD:
                return self._names[index]
        return ""


def _grams(text: str) -> list[tuple[str, ...]]:
    words = _WORDS.findall(text.lower())
    return list(zip(*(words[start:] for start in range(_WORD_GRAM)), strict=False))


def _function_text(source: str, entry_point: str) -> str:
    """Returns one function's source without its docstring; the complete source without it."""
    try:
        node = _find_function(source, entry_point)
        return source if node is None else _unparse_bare(node)
    except (ValueError, RecursionError, MemoryError):  # the first: a number of too many digits
        return source


def _unparse_bare(node: ast.FunctionDef) -> str:
    """Returns a function's source without its docstring and annotations."""
    if ast.get_docstring(node) is not None and len(node.body) > 1:
        node.body = node.body[1:]
    node.returns = None
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    return ast.unparse(node)


class BehaviorIndex:
    """Finds functions that answer a benchmark's calls as its own solution does.

    Args:
      probes: Calls and outputs of each benchmark's function.
      session: Where problems run.
    """

    def __init__(self, probes: Sequence[Probe], session: Session):
        reordered = [other for probe in probes for other in _reorder(probe)]
        self.probes, self.session = (probes, reordered), session

    def find(self, problem: records.Problem) -> str:
        """Returns the task whose calls the problem's reference answers alike, or "".

        Arguments may have another order than the benchmark's.
        """
        source = problem.prompt + problem.canonical_solution
        node = _find_function(source, problem.entry_point)
        if node is None:
            return ""
        for probes in self.probes:
            fitting = [probe for probe in probes if fits(node.args, probe.calls[0])]
            if name := self._find(source, problem.entry_point, fitting):
                return name
        return ""

    def _find(self, source: str, entry_point: str, probes: Sequence[Probe]) -> str:
        firsts = self._answers(source, entry_point, [probe.calls[0] for probe in probes])
        for probe, first in zip(probes, firsts, strict=True):
            if first is not None and is_alike(first[0], probe.outputs[0]):
                rest = self._answers(source, entry_point, probe.calls)
                pairs = zip(rest, probe.outputs, strict=True)
                if all(answer is not None and is_alike(answer[0], o) for answer, o in pairs):
                    return probe.name
        return ""

    def _answers(self, source: str, entry_point: str, calls: Sequence) -> list[list | None]:
        """Returns [value] of each call, None for one without; steps over calls that end it."""
        answers: list[list | None] = []
        lost = 0
        while len(answers) < len(calls) and lost < _LOST_RUNS:
            batch = calls[len(answers) : len(answers) + _BATCH]
            run = self.session.run(source, entry_point, batch)
            answers += [None if answer.error else [answer.value] for answer in run.answers]
            if len(run.answers) < len(batch):
                answers.append(None)
                lost += 1
        return answers + [None] * (len(calls) - len(answers))


def _reorder(probe: Probe) -> Iterator[Probe]:
    """Yields a probe with its arguments in every order but its own."""
    counts = {len(call.arguments) for call in probe.calls}
    if len(counts) > 1 or max(counts) > _MOST_REORDERED:
        return
    for order in itertools.islice(itertools.permutations(range(max(counts))), 1, None):
        calls = [Call(tuple(c.arguments[i] for i in order), c.named) for c in probe.calls]
        yield probe._replace(calls=calls)


def _find_function(source: str, entry_point: str) -> ast.FunctionDef | None:
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    functions = (node for node in body if isinstance(node, ast.FunctionDef))
    return next((node for node in functions if node.name == entry_point), None)


def is_alike(left: Any, right: Any) -> bool:
    """Whether two outputs are equal but for rounding, and for tuples in place of lists."""
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(is_alike, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-6)
    return left == right
