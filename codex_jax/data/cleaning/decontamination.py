"""Search for documents that hold a piece of an evaluation problem."""

import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from codex_jax import InputError
from codex_jax.records import Problem, open_text, parse_record

_WORDS = re.compile(r"\w+")
_GRAM = 13  # words, as GPT-3's own decontamination (arXiv 2005.14165, appendix C)
_SHORTEST_NAME = 8
_NAME = re.compile(r'(?<=^\{)"name":')


def _read_problems(path: pathlib.Path | str) -> Iterator[Problem]:
    if not pathlib.Path(path).is_file():
        raise InputError(f"{path}: no such file; expected problems as JSON Lines")
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            renamed = _NAME.sub('"task_id":', line, count=1)
            yield parse_record(renamed, Problem, where=f"{path}:{number}")


class Decontaminator:
    """Looks for `gram` consecutive words of a problem, and for functions of a problem's name."""

    def __init__(self, problem_files: Sequence[pathlib.Path | str], gram: int = _GRAM):
        """Reads problem files in HumanEval's format, or MultiPL-E's, which says `name`.

        Raises:
          InputError: a file is missing or malformed.
        """
        self._gram = gram
        self._grams: dict[tuple[str, ...], str] = {}
        self._names: dict[str, str] = {}
        for path in problem_files:
            for problem in _read_problems(path):
                self._add(problem)
        self._vocabulary = {word for words in self._grams for word in words}
        self._any_name = re.compile(rf"\b(?:{'|'.join(map(re.escape, self._names)) or '(?!)'})\b")

    def _add(self, problem: Problem) -> None:
        words = _WORDS.findall(problem.prompt + problem.canonical_solution)
        for gram in zip(*(words[n:] for n in range(self._gram)), strict=False):
            self._grams.setdefault(gram, problem.task_id)
        if len(problem.entry_point) >= _SHORTEST_NAME:
            self._names.setdefault(problem.entry_point, problem.task_id)

    def find(self, text: str) -> str:
        """Returns the task whose words the text holds, or ""."""
        return next(self._hits(_WORDS.findall(text)), "")

    def _hits(self, words: list[str]) -> Iterator[str]:
        in_vocabulary = np.fromiter(map(self._vocabulary.__contains__, words), bool, len(words))
        unknown_before = np.concatenate([[0], np.cumsum(~in_vocabulary)])
        candidates = unknown_before[self._gram :] == unknown_before[: -self._gram]
        for start in np.flatnonzero(candidates):
            if task := self._grams.get(tuple(words[start : start + self._gram])):
                yield task

    def names(self, text: str) -> list[str]:
        """Lists tasks whose function's name occurs in the text; a hint, not a proof."""
        return sorted({self._names[name] for name in self._any_name.findall(text)})
