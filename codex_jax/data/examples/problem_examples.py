"""Problem files as the training texts of Codex-S and Codex-D, split by package."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from codex_jax import InputError
from codex_jax.data.corpus import is_validation
from codex_jax.data.documents import Example, Span
from codex_jax.data.examples.encode import encode_jointly
from codex_jax.problem_texts import Continuation, to_code_text, to_docstring_text
from codex_jax.records import Problem, read_input
from codex_jax.tokenizer import Tokenizer

LANGUAGE = "Python"
TOO_LONG = "longer than a row"
NO_DOCSTRING = "no docstring"
DUPLICATE = "duplicate"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProblemFiles:
    """Files of problems, and the share of their packages that is the validation split.

    Args:
      paths: JSON Lines in HumanEval's fields, perhaps gzipped; `package` names a problem's package.
      validation_share: Share of the packages; a problem without one counts by its task_id.
      sequence_length: Tokens in a row; problems that take more are dropped.
    """

    paths: tuple[str, ...]
    validation_share: float
    sequence_length: int

    def __post_init__(self) -> None:
        """Refuses a share that is none."""
        if not 0 <= self.validation_share < 1:
            raise InputError(f"validation_share is {self.validation_share}; expected 0 to below 1")


class Dropped(NamedTuple):
    """A problem that makes no text, and why."""

    split: str
    task_id: str
    reason: str


class ProblemExamples(NamedTuple):
    """Training texts by split, and the problems without one."""

    examples: dict[str, list[Example]]
    dropped: list[Dropped]


def _code(problem: Problem) -> Continuation | None:
    return to_code_text(problem.prompt, problem.canonical_solution)


def _docstring(problem: Problem) -> Continuation | None:
    return to_docstring_text(problem.prompt, problem.canonical_solution, problem.entry_point)


# Task → a problem's text; None or an empty one where it has no docstring.
TEXTS: dict[str, Callable[[Problem], Continuation | None]] = {
    "codex_s": _code,
    "codex_d": _docstring,
}


def read_problem_examples(task: str, files: ProblemFiles, tokenizer: Tokenizer) -> ProblemExamples:
    """Reads the training texts of a Task: context, which weighs nothing, and text.

    Tests and shadow cases are in none of them.

    Args:
      task: Name in TEXTS.
      files: The problems.
      tokenizer: Measures the texts.

    Raises:
      InputError: a file is missing or malformed, or a problem has no solution.
    """
    examples: dict[str, list[Example]] = {"train": [], "validation": []}
    dropped: list[Dropped] = []
    texts: set[Continuation] = set()
    for problem in _read(files.paths):
        package = problem.extra.get("package") or problem.task_id
        is_held_out = is_validation(str(package), files.validation_share)
        split = "validation" if is_held_out else "train"
        text = TEXTS[task](problem)
        if reason := _fault(text, texts, tokenizer, files.sequence_length):
            dropped.append(Dropped(split, problem.task_id, reason))
        elif text:
            texts.add(text)
            spans = (Span(text.context, weight=0.0), Span(text.text))
            examples[split].append(Example(problem.task_id, LANGUAGE, spans))
    return ProblemExamples(examples, dropped)


def _fault(
    text: Continuation | None, others: set[Continuation], tokenizer: Tokenizer, length: int
) -> str:
    if not text or not text.text:
        return NO_DOCSTRING
    if text in others:
        return DUPLICATE
    spans = (Span(text.context), Span(text.text))
    tokens = len(encode_jointly(spans, tokenizer)[0]) + 1  # end of text
    return TOO_LONG if tokens > length else ""


def _read(paths: Sequence[str]) -> Iterator[Problem]:
    for path in paths:
        for problem in read_input(path, Problem):
            solution = problem.canonical_solution
            where = f"{path}: problem {problem.task_id}"
            if not isinstance(solution, str) or not solution.strip():
                raise InputError(
                    f"{where} has no canonical_solution; expected the text of its function's body"
                )
            if not isinstance(package := problem.extra.get("package"), str | int | None):
                raise InputError(f"{where} has package {package!r:.40}; expected its name")
            try:
                (problem.prompt + solution).encode()
            except UnicodeEncodeError:
                raise InputError(f"{where} holds a lone surrogate; expected text") from None
            yield problem
