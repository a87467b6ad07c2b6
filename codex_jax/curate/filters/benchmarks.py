"""Benchmarks' problems, as far as decontamination needs them: words, code, calls, outputs."""

import ast
import contextlib
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from codex_jax import InputError, records
from codex_jax.curate.execution import Call, Session
from codex_jax.curate.inputs import call_sites, literals
from codex_jax.curate.problems import branches, growth

_MOST_CALLS = 8
_MIN_CALLS, _MIN_OUTPUTS = 2, 2


class Benchmark(NamedTuple):
    """A problem of HumanEval(+), MBPP(+) or MultiPL-E."""

    name: str
    text: str  # prompt and solution
    source: str  # a complete program in Python, "" if there is none
    entry_point: str
    calls: list[Call]


class Probe(NamedTuple):
    """Calls by which a benchmark's function is recognized, the most telling first."""

    name: str
    calls: list[Call]
    outputs: list[Any]


def read_benchmarks(paths: Sequence[str]) -> list[Benchmark]:
    """Reads benchmarks' problems from JSON Lines.

    Raises:
      InputError: a file is missing, or a line isn't a benchmark's problem.
    """
    return [benchmark for path in paths for benchmark in _read(path)]


def _read(path: str) -> Iterator[Benchmark]:
    for where, line in records.read_lines(path, "a benchmark's problems"):
        row = records.parse_object(line, where)
        try:
            benchmark = _parse(row)
            benchmark.name.encode()  # a lone surrogate is no name
            yield benchmark
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"{where}: expected a problem of HumanEval, MBPP or MultiPL-E"
            ) from None


def _parse(row: Mapping[str, Any]) -> Benchmark:
    for name in ("test_list", "challenge_test_list", "base_input"):
        if not isinstance(row.get(name) or [], list):
            raise TypeError(f"{name} is no list")
    if not all(isinstance(arguments, list) for arguments in row.get("base_input") or []):
        raise TypeError("base_input has arguments that are no list")
    if not isinstance(row.get("entry_point") or "", str):
        raise TypeError("entry_point is no text")
    if "test_list" in row:
        code = row.get("code") or row.get("canonical_solution") or ""
        tests = "\n".join([*row["test_list"], *(row.get("challenge_test_list") or [])])
        names = re.findall(r"^def\s+(\w+)", code, re.MULTILINE)
        entry_point = next((name for name in names if f"{name}(" in tests), "")
        text = f"{row.get('text') or row.get('prompt') or ''}\n{code}"
        name = f"MBPP/{row['task_id']}"
        return Benchmark(name, text, code, entry_point, _calls(tests, entry_point))
    name = str(row.get("task_id") or row["name"])
    solution = row.get("canonical_solution") or ""
    text = row["prompt"] + solution
    if not solution or row.get("language", "python").lower() not in ("python", "py"):
        return Benchmark(name, text, "", "", [])
    calls = _calls(row.get("test") or "", "candidate")
    calls += [Call(tuple(arguments), {}) for arguments in row.get("base_input") or []]
    return Benchmark(name, text, text, row["entry_point"], calls)


def _calls(test: str, name: str) -> list[Call]:
    """Returns the calls of a function with literal arguments in a test."""
    try:
        tree = ast.parse(test)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    calls: list[Call] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
            try:
                arguments = tuple(map(literals.parse, node.args))
            except ValueError:
                continue
            if not node.keywords and Call(arguments, {}) not in calls:
                calls.append(Call(arguments, {}))
    return calls


def make_probes(benchmarks: Sequence[Benchmark], session: Session) -> list[Probe]:
    """Returns the probes of all benchmarks whose function answers at least two calls.

    Where a test has too few calls with literals, others are grown from them, from the docstring's
    examples and from the function's annotations.
    """
    probes = (_make_probe(benchmark, session) for benchmark in benchmarks if benchmark.source)
    return [probe for probe in probes if probe is not None]


def _make_probe(benchmark: Benchmark, session: Session) -> Probe | None:
    calls = [call for call in benchmark.calls if all(map(literals.is_plain, call.arguments))]
    run = session.run(benchmark.source, benchmark.entry_point, calls[: 4 * _MOST_CALLS])
    pairs = []
    for call, answer in zip(calls, run.answers, strict=False):
        if not answer.error and literals.is_plain(answer.value):
            pairs.append((call, answer.value))
    if not _is_telling(pairs):
        with contextlib.suppress(ValueError, RecursionError, MemoryError):  # a deep program
            pairs = _grow(benchmark, calls, session)
    if not _is_telling(pairs):
        return None
    pairs.sort(key=lambda pair: -len(repr(pair[1])))
    telling = {repr(output): (call, output) for call, output in reversed(pairs)}
    ordered = list(reversed(telling.values()))
    ordered += [pair for pair in pairs if pair not in ordered]
    ordered = ordered[:_MOST_CALLS]
    return Probe(benchmark.name, [c for c, _ in ordered], [output for _, output in ordered])


def _is_telling(pairs: Sequence[tuple[Call, Any]]) -> bool:
    outputs = {repr(output) for _, output in pairs}
    return len(pairs) >= _MIN_CALLS and len(outputs) >= _MIN_OUTPUTS


def _grow(benchmark: Benchmark, calls: Sequence[Call], session: Session) -> list[tuple[Call, Any]]:
    """Returns calls with outputs, none of which is one of its arguments."""
    try:
        tree = ast.parse(benchmark.source)
    except (SyntaxError, ValueError):
        return []
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    node = next((node for node in functions if node.name == benchmark.entry_point), None)
    if node is None:
        return []
    examples = call_sites.find_doctests(ast.get_docstring(node) or "").get(node.name, [])
    program = branches.instrument(benchmark.source, benchmark.entry_point)
    rng = random.Random(benchmark.name)
    grown = growth.Growth(session, program, node, rng).grow([*calls, *examples], 4 * _MOST_CALLS)
    return [(case.call, case.value) for case in grown.cases if not growth.is_echo(case)]
