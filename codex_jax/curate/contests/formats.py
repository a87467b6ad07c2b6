"""Rows of APPS and of CodeContests, as one record; both of the shapes that lists travel in."""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from codex_jax import InputError, records

# Numbers of CodeContests' enum Solution.Language; 1 is Python 2, whose programs are left out.
_PYTHON_3 = (3, "PYTHON3", "python3")
_SOURCES = {1: "codechef", 2: "codeforces", 3: "hackerearth", 4: "codejam", 6: "atcoder", 7: "aizu"}
_TESTS = ("public_tests", "private_tests", "generated_tests")


class Contest(NamedTuple):
    """A problem with its programs and cases.

    A case is (input, output): texts of standard input and output, or a list of arguments and a
    value if `entry_point` names a function.
    """

    name: str
    statement: str
    right: list[str]
    wrong: list[str]
    cases: list[tuple[Any, Any]]
    entry_point: str = ""
    checker: str = ""  # source of is_right(text, expected, output), for several right outputs
    source: str = ""


def read_contests(path: pathlib.Path | str) -> Iterator[tuple[Contest, str]]:
    """Yields each contest of a JSON Lines file, with where it stands.

    Raises:
      InputError: the file is missing, a line is in neither format, or has no name of its own.
    """
    first_lines: dict[str, str] = {}
    for where, line in records.read_lines(path, "APPS or CodeContests"):
        contest = _parse(line, where)
        if not contest.name.partition("/")[2].strip():
            raise InputError(f"{where}: no name; expected problem_id or name")
        if contest.name in first_lines:
            raise InputError(
                f"{where}: {contest.name} is in {first_lines[contest.name]} already; expected "
                "names of their own"
            )
        first_lines[contest.name] = where
        yield contest, where


def _parse(line: str, where: str) -> Contest:
    row = records.parse_object(line, where)
    if "input_output" in row or "question" in row:
        corpus, read = "APPS", _apps
    elif "solutions" in row and "description" in row:
        corpus, read = "CodeContests", _code_contests
    else:
        raise InputError(f"{where}: expected the fields of APPS or of CodeContests")
    try:
        return _checked(read(row))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise InputError(f"{where}: malformed ({reason}); expected a row of {corpus}") from None


def _checked(contest: Contest) -> Contest:
    """Returns a contest whose texts are texts.

    Raises:
      TypeError: one isn't.
    """
    names = ("statement", "entry_point", "checker", "source")
    texts = [*(getattr(contest, name) for name in names), *contest.right, *contest.wrong]
    if not contest.entry_point:
        texts += [text for case in contest.cases for text in case]
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{text!r:.60} is no text")
    if contest.entry_point:
        return contest
    return contest._replace(cases=[(_end_lines(a), _end_lines(b)) for a, b in contest.cases])


def _end_lines(text: str) -> str:
    """Returns a text with the line ends that a program reads from standard input."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _name(value: Any) -> str:
    """Returns a problem's name, "" without one.

    Raises:
      TypeError: it is neither a text nor a number.
      ValueError: it holds a lone surrogate.
    """
    if value is not None and type(value) not in (str, int):
        raise TypeError(f"{value!r:.60} is no name")
    name = "" if value is None else str(value)
    name.encode()
    return name


def _list(value: Any) -> list[Any]:
    """Returns a list, which may be JSON in a text; an empty one for nothing.

    Raises:
      TypeError: it is something else.
    """
    items = _loads(value) if value else []
    if not isinstance(items, list):
        raise TypeError(f"{items!r:.60} is no list")
    return items


def _apps(row: Mapping[str, Any]) -> Contest:
    """Reads `question`, `solutions` and `input_output`, the last two JSON within JSON."""
    tests = _loads(row.get("input_output") or "{}")
    name = _name(row.get("problem_id", row.get("id", row.get("name"))))
    cases = list(zip(_list(tests.get("inputs")), _list(tests.get("outputs")), strict=True))
    if not tests.get("fn_name"):  # texts, which some rows have as lists of lines
        cases = [(_join_lines(value), _join_lines(expected)) for value, expected in cases]
    return Contest(
        name=f"apps/{name}",
        statement=row["question"],
        right=_list(row.get("solutions")),
        wrong=_list(row.get("incorrect_solutions")),
        cases=cases,
        entry_point=tests.get("fn_name") or "",
        checker=row.get("checker") or "",
        source=row.get("url") or "",
    )


def _join_lines(text: Any) -> Any:
    if isinstance(text, list):
        return "".join(_join_lines(line) + "\n" for line in text)
    return str(text) if type(text) in (int, float) else text


def _loads(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _code_contests(row: Mapping[str, Any]) -> Contest:
    """Reads CodeContests, whose lists of messages may have become dicts of lists."""
    cases = [
        (test["input"], test["output"]) for name in _TESTS for test in _messages(row.get(name))
    ]
    source = row.get("source", "")
    return Contest(
        name=f"code_contests/{_name(row['name'])}",
        statement=row["description"],
        right=_python_programs(row["solutions"]),
        wrong=_python_programs(row.get("incorrect_solutions")),
        cases=cases,
        checker=row.get("checker") or "",
        source=_SOURCES.get(source, str(source).lower()),
    )


def _messages(value: Any) -> list[dict[str, Any]]:
    """Returns a list of messages from one, or from a dict of equally long lists; JSON of either."""
    value = _loads(value) if value else []
    if isinstance(value, dict):
        rows = zip(*map(_list, value.values()), strict=True)
        return [dict(zip(value, row, strict=True)) for row in rows]
    return _list(value)


def _python_programs(value: Any) -> list[str]:
    return [m["solution"] for m in _messages(value) if m.get("language") in _PYTHON_3]
