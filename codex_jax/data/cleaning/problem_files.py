"""Evaluation problems in the form of any benchmark: words, solutions, and the functions' names."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from codex_jax import InputError
from codex_jax.files import parse_json
from codex_jax.records import open_text

# Names of fields in HumanEval, MultiPL-E, MBPP (both files), APPS, DS-1000 and their like.
_IDS = ("task_id", "name", "id", "problem_id", "question_id")
_TEXTS = ("prompt", "text", "question", "description")
_SOLUTIONS = ("canonical_solution", "code", "solution", "reference_code", "solutions")


@dataclasses.dataclass(frozen=True)
class ProblemText:
    """A problem's words, and the programs that solve it."""

    task_id: str
    prompt: str
    solutions: tuple[str, ...] = ()
    entry_point: str = ""


def read_problems(path: pathlib.Path | str) -> Iterator[ProblemText]:
    """Yields the problems of a file of JSON Lines, gzipped if it ends in .gz, or of a JSON array.

    Raises:
      InputError: the file is missing or has no problems, or one has no identifier or no text.
    """
    if not pathlib.Path(path).is_file():
        raise InputError(f"{path}: no such file; expected problems as JSON Lines")
    number = 0
    for number, fields in _read_objects(path):
        yield _to_problem(fields, f"{path}:{number}")
    if not number:
        raise InputError(f"{path}: no problems; expected problems as JSON Lines or an array")


def _read_objects(path: pathlib.Path | str) -> Iterator[tuple[int, Any]]:
    try:
        with open_text(path) as lines:
            first = lines.read(1)
            lines.seek(0)
            if first == "[":
                yield from enumerate(json.load(lines), 1)
                return
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, _parse(line, f"{path}:{number}")
    except (OSError, EOFError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        message = str(error) or type(error).__name__
        raise InputError(
            f"{path}: {message}; expected problems as JSON Lines or an array"
        ) from None


def _parse(line: str, where: str) -> Any:
    try:
        return parse_json(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error})") from None


def _to_problem(fields: Any, where: str) -> ProblemText:
    if not isinstance(fields, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(fields).__name__}")
    task_id = next((fields[name] for name in _IDS if fields.get(name) not in (None, "")), None)
    if task_id is None:
        raise InputError(f"{where}: Problem lacks task_id; expected one of {', '.join(_IDS)}")
    texts = [fields[name] for name in _TEXTS if isinstance(fields.get(name), str)]
    if not texts:
        raise InputError(f"{where}: Problem lacks prompt; expected one of {', '.join(_TEXTS)}")
    entry_point = fields.get("entry_point")
    return ProblemText(
        str(task_id),
        "\n".join(texts),
        tuple(_solutions(fields)),
        entry_point if isinstance(entry_point, str) else "",
    )


def _solutions(fields: dict[str, Any]) -> Iterator[str]:
    for value in filter(None, map(fields.get, _SOLUTIONS)):
        programs = value if isinstance(value, list) else [value]
        if isinstance(value, str) and value.startswith("["):  # APPS: a list of programs as JSON
            with contextlib.suppress(ValueError):
                programs = parse_json(value)
        yield from (each for each in programs if isinstance(each, str))
