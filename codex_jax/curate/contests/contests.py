"""The `curate contests` command: problems of contests, from files of APPS or CodeContests."""

import ast
import functools
import json
import pathlib
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from codex_jax import InputError, files, licenses, problem_texts, progress, records
from codex_jax.curate import package_runs
from codex_jax.curate.contests import growth, judging, stdin_program
from codex_jax.curate.contests.formats import Contest, read_contests
from codex_jax.curate.contests.stdin_program import UnsupportedProgramError
from codex_jax.curate.execution import Runner, Session
from codex_jax.curate.inputs import literals
from codex_jax.curate.package_runs import Tally
from codex_jax.curate.problems import attempt, trial
from codex_jax.curate.problems.usefulness import RejectedError

_IS_REPORT = files.has_json_keys("packages", "reasons")
_OWN_FILES = {
    "problems.jsonl": files.is_beside("report.json", _IS_REPORT),
    "report.json": _IS_REPORT,
    "report.md": files.has_text("| reason |"),
}
_MOST_PROGRAMS = 6  # right ones, and wrong ones, that are run
_MOST_CASES, _MAX_CASE = 24, 2000
_MAX_STATEMENT = 10_000  # characters
_COMPARE = """
def _is_same(output, expected):
    if isinstance(expected, str):
        return output.split() == expected.split()
    return _as_lists(output) == _as_lists(expected)


def _as_lists(value):
    if isinstance(value, list | tuple):
        return [_as_lists(item) for item in value]
    return value
"""


class _Program(NamedTuple):
    entry_point: str
    header: str  # up to the docstring's end
    body: str

    @property
    def source(self) -> str:
        return self.header + self.body


def write_contests(
    *,
    contests: str,
    output: str,
    runner: Runner,
    license: str = "",
    seed: int = 0,
    grown_cases: int = 12,
) -> None:
    """Makes problems of a file of programming contests, in the fields of APPS or of CodeContests.

    A program that reads standard input becomes `def solve(text: str) -> str`. Programs in Python 3
    that pass all cases in the sandbox are right; the shortest is the reference. Cases grow by
    mutated inputs on which right programs agree and a wrong one differs. A problem whose right
    programs disagree on one of its cases is dropped unless it brings a checker.

    Args:
      contests: JSON Lines, each line a problem of APPS or of CodeContests.
      output: folder for problems.jsonl, report.json and report.md.
      runner: runs programs in sandboxes.
      license: SPDX expression of the file's problems, for `extra`.
      seed: decides mutated inputs and the split of cases.
      grown_cases: cases that are added to a problem at most.

    Raises:
      InputError: unusable input or settings.
    """
    if grown_cases < 0:
        raise InputError(f"grown_cases={grown_cases}; expected 0 or more; set it so")
    if license and not licenses.is_expression(license):
        expected = "an SPDX expression such as MIT, or LicenseRef-Mine"
        raise InputError(f"license is {license!r}; expected {expected}; set it so")
    files.claim_folder(output, _OWN_FILES, "output", [contests])
    if not sum(1 for _ in read_contests(contests)):  # each line is checked before any program runs
        raise InputError(f"{contests}: no contests; expected JSON Lines of APPS or CodeContests")
    folder, tally = pathlib.Path(output), Tally("contests")
    with runner.open(trial.HASH_SEEDS) as session:
        for contest, _ in progress.bar(read_contests(contests), desc="contests", unit="problem"):
            maker = _Maker(session, contest, random.Random(f"{seed}/{contest.name}"))
            make = functools.partial(maker.make, grown_cases, license)
            attempt.try_problem(tally, make, contest.name)
    report = package_runs.summarize([tally.result()])
    files.atomic_write(folder / "report.json", json.dumps(report, indent=1) + "\n")
    records.write_jsonl(folder / "problems.jsonl", tally.problems)
    files.atomic_write(folder / "report.md", package_runs.table(report))
    print(package_runs.table(report))


class _Maker:
    """Makes the problem of one contest."""

    def __init__(self, session: Session, contest: Contest, rng: random.Random):
        self.session, self.contest, self.rng = session, contest, rng
        cases = filter(_is_short, contest.cases)  # a public case is often a private one, too
        keys = ((_key(case, has_checker=bool(contest.checker)), case) for case in cases)
        self.cases = list(dict(keys).values())

    def make(self, grown_cases: int, license: str) -> records.Problem:
        """Returns the problem.

        Raises:
          RejectedError: the reason why there is none.
        """
        if not 0 < len(self.contest.statement.strip()) <= _MAX_STATEMENT:
            raise RejectedError("no statement, or a long one")
        if len(self.cases) < 2:
            raise RejectedError("fewer than 2 short cases")
        right = self._right_programs()
        reference = min(right, key=lambda program: len(program.source))
        wrong = [program.source for program in self._programs(self.contest.wrong)]
        grown = growth.grow_cases(
            self.session,
            [program.source for program in right],
            wrong,
            reference.entry_point,
            self.cases,
            most=0 if self.contest.checker else grown_cases,
            rng=self.rng,
        )
        test, shadow = self._split(self.cases, list(filter(_is_short, grown)))
        for check in map(self._check, (test, shadow)):
            trial.check_test(self.session, reference.source, reference.entry_point, check)
        return records.Problem(
            task_id=f"contests/{self.contest.name}",
            prompt=reference.header,
            entry_point=reference.entry_point,
            test=self._check(test),
            canonical_solution=reference.body,
            extra={
                "route": "contests",
                "documented": True,
                "license": license,
                "source": self.contest.source,
                "right_programs": len(right),
                "grown_cases": len(grown),
                "shadow": self._check(shadow),
            },
        )

    def _right_programs(self) -> list[_Program]:
        programs = self._programs(self.contest.right)
        if not programs:
            raise RejectedError("no program in Python 3 that can be a function")
        inputs = [value for value, _ in self.cases]
        answers = [judging.outputs(self.session, p.source, p.entry_point, inputs) for p in programs]
        complete = [column for column in answers if all(a is not None for a in column)]
        if not self.contest.checker and _disagree(complete):
            raise RejectedError("its right programs disagree")
        for cases in filter(None, (self.cases, self._unwrapped_cases())):
            right = [
                program
                for program, column in zip(programs, answers, strict=True)
                if judging.passes(self.session, self.contest.checker, cases, column)
            ]
            if right:
                self.cases = cases
                return right
        raise RejectedError("no program passes its cases")

    def _unwrapped_cases(self) -> list[judging.Case]:
        """Returns cases without the list that APPS puts around a function's value, if all have it.

        APPS itself takes a value either way.
        """
        expected = [output for _, output in self.cases]
        if not self.contest.entry_point or not all(_is_single(output) for output in expected):
            return []
        return [(value, output[0]) for value, output in self.cases]

    def _programs(self, sources: Sequence[str]) -> list[_Program]:
        programs: list[_Program] = []
        for source in sorted(dict.fromkeys(sources), key=len):
            if len(programs) < _MOST_PROGRAMS:
                try:
                    programs.append(_to_program(source, self.contest))
                except (UnsupportedProgramError, ValueError, RecursionError, MemoryError):
                    continue
        return programs

    def _split(
        self, cases: Sequence[judging.Case], grown: Sequence[judging.Case]
    ) -> tuple[list[judging.Case], list[judging.Case]]:
        """Returns cases of the test and of the shadow test: a third apart, at least one."""
        shuffled = self.rng.sample([*cases, *grown], len(cases) + len(grown))
        count = max(1, len(shuffled) // 3)
        test = shuffled[count:][:_MOST_CASES]
        if len(test) < 2 or len({repr(expected) for _, expected in test}) < 2:
            raise RejectedError("fewer than 2 outputs")
        return test, shuffled[:count][: _MOST_CASES // 2]

    def _check(self, cases: Sequence[judging.Case]) -> str:
        """Returns the source of check(candidate), with the checker if there is one."""
        checker = self.contest.checker
        verdict = "is_right(value, expected, output)" if checker else "_is_same(output, expected)"
        arguments = "*value" if self.contest.entry_point else "value"
        listed = "".join(f"        {literals.literal(case)},\n" for case in cases)
        return (
            f"{checker.rstrip() or _COMPARE.strip()}\n\n\n"
            f"def check(candidate):\n    for value, expected in [\n{listed}    ]:\n"
            f"        output = candidate({arguments})\n        assert {verdict}\n"
        )


def _is_short(case: judging.Case) -> bool:
    """Whether a case is short as text, and made of values with literals."""
    try:
        return len(literals.literal(tuple(case))) <= _MAX_CASE
    except ValueError:
        return False


def _key(case: judging.Case, *, has_checker: bool) -> str:
    """Returns a text that is equal for equal cases; ends of lines and texts don't part them."""
    value, expected = (
        [line.rstrip() for line in part.rstrip().split("\n")] if isinstance(part, str) else part
        for part in case
    )
    return repr(value if has_checker else (value, expected))


def _is_single(output: Any) -> bool:
    return isinstance(output, list) and len(output) == 1


def _disagree(answers: Sequence[Sequence[Any]]) -> bool:
    return any(
        not judging.is_same(column[index], answers[0][index])
        for column in answers[1:]
        for index in range(len(column))
    )


def _to_program(source: str, contest: Contest) -> _Program:
    """Returns a program of the contest as a function with the statement as its docstring."""
    if contest.entry_point:
        text = _method_to_function(source, contest)
        name = contest.entry_point
    else:
        text, name = stdin_program.to_function(source, contest.statement), stdin_program.ENTRY_POINT
    lines = problem_texts.split_lines(text)
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    *_, function = [node for node in functions if node.name == name]
    end = function.body[0].end_lineno
    return _Program(name, "".join(lines[:end]), "".join(lines[end:]))


def _method_to_function(source: str, contest: Contest) -> str:
    """Returns the function that is called, last; a method of `Solution` loses its self."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        raise UnsupportedProgramError("not Python 3") from None
    rest = []
    function: ast.FunctionDef | None = None
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) and node.name == "Solution" else [node]
        named = [n for n in inner if getattr(n, "name", "") == contest.entry_point]
        if named and isinstance(named[0], ast.FunctionDef):
            function = named[0]
            if inner is not tree.body and isinstance(node, ast.ClassDef):
                if len(inner) > 1 or "self" in {
                    n.id for n in ast.walk(function) if isinstance(n, ast.Name)
                }:
                    raise UnsupportedProgramError("a method that uses its object")
                function.args.args = function.args.args[1:]
        else:
            rest.append(node)
    if function is None:
        raise UnsupportedProgramError(f"no function {contest.entry_point}")
    statement = contest.statement.strip().replace("\n", "\n    ")
    function.body.insert(0, ast.Expr(ast.Constant(f"{statement}\n    ")))
    parts = [*map(ast.unparse, rest), ast.unparse(ast.fix_missing_locations(function))]
    return "\n".join(parts) + "\n"
