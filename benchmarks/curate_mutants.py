"""Mutants of problems' references: of those that differ on fuzzed inputs, how many fail `test`.

    python benchmarks/curate_mutants.py problems.jsonl mutants.jsonl --problems 300 --inputs 1000

Each reference gets mutants of one change: a comparison, an operator, a constant, a condition, a
statement, a returned value, two arguments. Inputs are mutated from the calls in `test` and
`shadow`; those on which the reference answers with plain data count. A mutant differs if it answers
one of them otherwise, raises or doesn't end. mutants.jsonl gets a row for each mutant; the same
command continues there.
"""

import argparse
import ast
import copy
import json
import pathlib
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

BATCH = 100  # calls of one program
SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.Mod: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
Change = Callable[[Any], None]  # of a node, in place


def swap_operator(node: Any) -> None:
    """Puts a near operator in place of a node's own."""
    node.op = SWAPS[type(node.op)]()


def swap_comparison(node: Any) -> None:
    """Puts a near comparison in place of a node's first one."""
    node.ops[0] = SWAPS[type(node.ops[0])]()


def negate(node: Any) -> None:
    """Negates a condition."""
    node.test = ast.UnaryOp(ast.Not(), node.test)


def change_constant(node: Any) -> None:
    """Puts a near constant in place of another."""
    value = node.value
    if isinstance(value, bool):
        node.value = not value
    elif isinstance(value, int | float):
        node.value = value + 1
    elif value:
        node.value = value[:-1]
    else:
        node.value = b"x" if isinstance(value, bytes) else "x"


def return_nothing(node: Any) -> None:
    """Returns None in place of a value."""
    node.value = ast.Constant(None)


def drop_first(node: Any) -> None:
    """Leaves out the first statement of a block."""
    node.body = node.body[1:] or [ast.Pass()]


def drop_last(node: Any) -> None:
    """Leaves out the last statement of a block."""
    node.body = node.body[:-1] or [ast.Pass()]


def swap_arguments(node: Any) -> None:
    """Swaps the first two arguments of a call."""
    node.args[:2] = reversed(node.args[:2])


def changes_of(node: ast.AST) -> Iterator[Change]:
    """Yields the changes that a node can undergo."""
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPS:
        yield swap_operator
    if isinstance(node, ast.Compare):
        yield swap_comparison
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield negate
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str | bytes):
        yield change_constant
    if isinstance(node, ast.Return) and node.value is not None:
        yield return_nothing
    if isinstance(node, ast.If | ast.For | ast.While | ast.With | ast.Try | ast.FunctionDef):
        yield from (drop_first, drop_last)
    if isinstance(node, ast.Call) and len(node.args) > 1:
        yield swap_arguments


def find_function(tree: ast.Module, name: str) -> ast.FunctionDef:
    """The last function of that name, without its docstring.

    Raises:
      StopIteration: there is none.
    """
    functions = (
        n for n in reversed(tree.body) if isinstance(n, ast.FunctionDef) and n.name == name
    )
    function = next(functions)
    function.body = function.body[ast.get_docstring(function) is not None :]
    return function


def make_mutants(source: str, name: str, rng: random.Random, most: int) -> list[tuple[str, str]]:
    """Returns (change, program) of distinct programs that differ from a function in one node."""
    tree = ast.parse(source)
    function = find_function(tree, name)
    parts = [part for statement in function.body for part in ast.walk(statement)]
    sites = [(at, change) for at, part in enumerate(parts) for change in changes_of(part)]
    texts = {ast.unparse(tree)}
    mutants: list[tuple[str, str]] = []
    for at, change in rng.sample(sites, len(sites)):
        changed = copy.deepcopy(tree)
        body = find_function(changed, name).body
        change([part for statement in body for part in ast.walk(statement)][at])
        text = ast.unparse(ast.fix_missing_locations(changed))
        if text not in texts and len(mutants) < most and is_python(text):
            texts.add(text)
            mutants.append((change.__name__, text))
    return mutants


def is_python(text: str) -> bool:
    """Whether a text compiles."""
    try:
        compile(text, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def calls_in(check: str) -> list[Any]:
    """The calls with literals in a test of `curate`."""
    from codex_jax.curate.execution import Call
    from codex_jax.curate.inputs import literals

    calls, lists = [], []
    for node in ast.walk(ast.parse(check)):
        try:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "arguments":
                lists.append(Call(tuple(literals.parse(node.value)), {}))
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "candidate":
                named = {
                    keyword.arg or "": literals.parse(keyword.value) for keyword in node.keywords
                }
                calls.append(Call(tuple(map(literals.parse, node.args)), named))
        except ValueError:
            continue  # candidate(*arguments), whose list stands before it
    return calls + lists


def fuzz(
    seeds: Sequence[Any], constants: Sequence[Any], rng: random.Random, most: int
) -> list[Any]:
    """Returns distinct calls: the seeds, and mutants of calls, of one to three steps."""
    from codex_jax.curate.inputs import mutation

    calls = {repr(seed): seed for seed in seeds}
    for _ in range(4 * most if seeds else 0):
        call = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 2, 3))):
            call = mutation.mutate(call, rng, constants)
        calls.setdefault(repr(call), call)
        if len(calls) >= most:
            break
    return list(calls.values())[:most]


class Measurement:
    """Mutants of one problem at a time, in a sandbox.

    Args:
      session: Where programs run.
      options: Numbers of mutants and inputs, and the seed.
    """

    def __init__(self, session: Any, options: argparse.Namespace):
        self.session, self.options = session, options

    def measure(self, problem: dict) -> list[dict]:
        """A row for each mutant; none for a problem whose reference can't be mutated."""
        rng = random.Random(f"{self.options.seed}/{problem['task_id']}")
        source, name = problem["prompt"] + problem["canonical_solution"], problem["entry_point"]
        mutants = make_mutants(source, name, rng, self.options.mutants)
        constants = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)]
        seeds = calls_in(problem["test"]) + calls_in(problem.get("shadow") or "")
        calls = fuzz(seeds, constants, rng, self.options.inputs)
        cases = self._answer(source, name, calls)
        rows = []
        for change, text in mutants:
            row = {"task_id": problem["task_id"], "change": change, "inputs": len(cases)}
            row["differs"] = self._differs(text, name, cases)
            row["fails"] = not self._passes(text, name, problem["test"])
            rows.append(row | {"program": text})
        return rows

    def _answer(self, source: str, name: str, calls: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Returns (call, answer) where the reference answers with plain data."""
        from codex_jax.curate.inputs import literals

        cases = []
        for start in range(0, len(calls), BATCH):
            batch = calls[start : start + BATCH]
            answers = self.session.run(source, name, batch).answers
            for call, answer in zip(batch, answers, strict=False):
                if not answer.error and literals.is_plain(answer.value):
                    cases.append((call, answer))
        return cases

    def _differs(self, source: str, name: str, cases: Sequence[tuple[Any, Any]]) -> bool:
        from codex_jax.curate.inputs import literals

        for start in range(0, len(cases), BATCH):
            batch = cases[start : start + BATCH]
            answers = self.session.run(source, name, [call for call, _ in batch]).answers
            if len(answers) < len(batch):
                return True
            for (_, expected), answer in zip(batch, answers, strict=True):
                is_same = not answer.error and literals.is_equal(answer.value, expected.value)
                if not (is_same and literals.is_equal(answer.arguments, expected.arguments)):
                    return True
        return False

    def _passes(self, source: str, name: str, test: str) -> bool:
        from codex_jax.curate.execution import Call

        text = f"{source}\n\n{test}\n\ndef _try_out():\n    check({name})\n    return True\n"
        run = self.session.run(text, "_try_out", [Call((), {})])
        return bool(run.answers) and run.answers[0].value is True


def report(rows: Sequence[dict]) -> str:
    """A line of counts, and Markdown by the sort of change."""
    differing = [row for row in rows if row["differs"]]
    failing = sum(row["fails"] for row in differing)
    inputs = {row["task_id"]: row["inputs"] for row in rows}
    lines = [
        f"{len(rows)} mutants of {len(inputs)} problems; {len(differing)} differ on one of "
        f"{sum(inputs.values()) / max(1, len(inputs)):.0f} inputs (mean); {failing} of these fail "
        f"`test` ({failing / max(1, len(differing)):.1%})",
        "",
        "| change | differ | fail |",
        "|---|---|---|",
    ]
    for change in sorted({row["change"] for row in differing}):
        flags = [row["fails"] for row in differing if row["change"] == change]
        lines.append(f"| {change.replace('_', ' ')} | {len(flags)} | {sum(flags)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures mutants of problems drawn by seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=pathlib.Path, help="JSON Lines of problems")
    parser.add_argument("output", type=pathlib.Path, help="JSON Lines of mutants")
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--mutants", type=int, default=5, help="of a problem, at most")
    parser.add_argument("--inputs", type=int, default=1000, help="of a problem, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="to begin problems in")
    parser.add_argument("--sandbox", default="auto")
    options = parser.parse_args()
    from codex_jax import files
    from codex_jax.evaluate.sandbox.program_runner import ProgramRunner

    problems = [json.loads(line) for line in options.source.open(encoding="utf-8")]
    chosen = random.Random(options.seed).sample(problems, min(options.problems, len(problems)))
    options.output.touch()
    files.repair_jsonl(options.output)
    rows = [json.loads(line) for line in options.output.open(encoding="utf-8")]
    done, start = {row["task_id"] for row in rows}, time.monotonic()
    with (
        ProgramRunner(sandbox=options.sandbox).open() as session,
        options.output.open("a", encoding="utf-8") as output,
    ):
        measurement = Measurement(session, options)
        for problem in chosen:
            if problem["task_id"] in done or time.monotonic() - start > options.seconds:
                continue
            measured = measurement.measure(problem)
            rows += measured
            output.write("".join(json.dumps(row) + "\n" for row in measured))
            output.flush()
    print(report(rows))


if __name__ == "__main__":
    sys.exit(main())
