"""Search for documents that hold a piece of an evaluation problem, as words or as structure."""

import pathlib
import re
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from codex_jax.data.cleaning.code_structure import Outline, functions_of, outline, structure
from codex_jax.data.cleaning.problem_files import ProblemText, read_problems

_WORDS = re.compile(r"\w+")
_GRAM = 13  # words, as GPT-3's own decontamination (arXiv 2005.14165, appendix C)
_SHORTEST_NAME = 8


class Decontaminator:
    """Looks for `gram` consecutive words of a problem, and for functions built like its solution.

    Functions of a problem's name are counted too; they prove nothing.
    """

    def __init__(self, problem_files: Sequence[pathlib.Path | str], gram: int = _GRAM):
        """Reads problem files: HumanEval's, MultiPL-E's, MBPP's, or any like them.

        Raises:
          InputError: a file is missing or malformed.
        """
        self._gram = gram
        self._grams: dict[tuple[str, ...], str] = {}
        self._names: dict[str, str] = {}
        self._structures: dict[bytes, str] = {}
        self._outlines: set[Outline] = set()
        for path in problem_files:
            for problem in read_problems(path):
                self._add(problem)
        self._vocabulary = {word for words in self._grams for word in words}
        self._any_name = re.compile(rf"\b(?:{'|'.join(map(re.escape, self._names)) or '(?!)'})\b")

    def _add(self, problem: ProblemText) -> None:
        for solution in problem.solutions or ("",):
            self._add_words(problem.prompt + solution, problem.task_id)
            self._add_words(solution, problem.task_id)
            self._add_structures(problem, solution)
        if len(problem.entry_point) >= _SHORTEST_NAME:
            self._names.setdefault(problem.entry_point, problem.task_id)

    def _add_words(self, text: str, task_id: str) -> None:
        words = _WORDS.findall(text)
        for gram in zip(*(words[n:] for n in range(self._gram)), strict=False):
            self._grams.setdefault(gram, task_id)

    def _add_structures(self, problem: ProblemText, solution: str) -> None:
        """Adds the solution's functions: it is a program, or continues the prompt."""
        in_prompt = {structure(each) for each in functions_of(problem.prompt)}
        programs = (problem.prompt + solution, solution, textwrap.dedent(solution))
        for function in next(filter(None, map(functions_of, programs)), []):
            digest = structure(function)
            if digest and digest not in in_prompt:
                self._structures.setdefault(digest, problem.task_id)
                self._outlines.add(outline(function))

    def find(self, text: str, language: str = "Python") -> str:
        """Returns the task whose words or structure the text holds, or ""."""
        if task := next(self._hits(_WORDS.findall(text)), ""):
            return task
        return next(self._similar(text), "") if language == "Python" and self._structures else ""

    def _similar(self, text: str) -> Iterator[str]:
        for function in functions_of(text):
            if outline(function) in self._outlines:
                task = self._structures.get(structure(function))
                if task:
                    yield task

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
