"""The `curate filter` command: problems in, those that are worth training on out."""

import json
import pathlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from codex_jax import InputError, files, progress, records
from codex_jax.curate import markdown
from codex_jax.curate.docstrings import SAMPLED
from codex_jax.curate.execution import Runner
from codex_jax.curate.filters import benchmarks as benchmark_files
from codex_jax.curate.filters import near_duplicates
from codex_jax.curate.filters.decontamination import BehaviorIndex, TextIndex
from codex_jax.licenses import AllowList
from codex_jax.list_settings import check_distinct

LICENSES = (
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC-BY-4.0", "CC0-1.0", "ISC",
    "MIT", "MIT-0", "PSF-2.0", "Python-2.0", "Unlicense", "ZPL-2.1", "Zlib",
)  # fmt: skip
_EXAMPLES = 3
_NO_VERDICT = ("left out", "infra_error")  # of `evaluate`, where a program wasn't judged
_VERDICTS = ("passed", "failed", "timed out", "crashed", *_NO_VERDICT)
_IS_REPORT = files.has_json_keys("steps", "problems")
_OWN_FILES = {
    "problems.jsonl": files.is_beside("report.json", _IS_REPORT),
    "report.json": _IS_REPORT,
    "report.md": files.has_text("| step |"),
}
# Returns why a problem is dropped, or "".
Rule = Callable[[records.Problem], str]


class _Steps:
    """Problems that are left, and a row for each step."""

    def __init__(self, problems: Sequence[records.Problem]):
        self.problems = list(problems)
        self.rows: list[dict] = []

    def apply(self, step: str, rule: Rule) -> None:
        """Drops the problems for which the rule has a reason."""
        remaining, examples = [], []
        for problem in progress.bar(self.problems, desc=step, unit="problem"):
            if reason := rule(problem):
                examples.append(f"{problem.task_id} ({reason})")
            else:
                remaining.append(problem)
        row = {"step": step, "before": len(self.problems), "dropped": len(examples)}
        self.rows.append(row | {"examples": examples[:_EXAMPLES]})
        self.problems = remaining


def filter_problems(
    *,
    problems: Sequence[str],
    output: str,
    runner: Runner,
    verdicts: Sequence[str] = (),
    benchmarks: Sequence[str] = (),
    licenses: Sequence[str] = LICENSES,
    jaccard: float = 0.7,
    drop_always_solved: bool = False,
) -> None:
    """Filters problems: licences, samples that pass, near duplicates, benchmarks.

    `sample` and `evaluate` make the verdicts of n samples a problem; a problem that none of them
    solves is dropped. Docstrings that a model wrote need such verdicts. A problem is a benchmark's
    if it has 13 words in a row of one, its code under whatever names, or answers the benchmark's
    calls with its outputs. `output` receives problems.jsonl, report.json and report.md: counts at
    every step, with examples of each.

    Args:
      problems: JSON Lines of problems; of near duplicates the first stays.
      output: folder to write into.
      runner: runs programs in sandboxes.
      verdicts: verdicts.jsonl of samples of these problems.
      benchmarks: JSON Lines of HumanEval(+), MBPP(+) or MultiPL-E.
      licenses: SPDX identifiers, or LicenseRef-… names, that are allowed; none means that every
        license is.
      jaccard: similarity of their tokens from which problems are near duplicates.
      drop_always_solved: whether to drop problems that every sample solves.

    Raises:
      InputError: unusable input or settings.
    """
    allowed = AllowList(licenses)
    check_distinct(problems=problems, verdicts=verdicts, benchmarks=benchmarks)
    _check_rules(jaccard, verdicts, drop_always_solved=drop_always_solved)
    inputs = (*problems, *verdicts, *benchmarks)
    files.claim_folder(output, _OWN_FILES, "output", inputs)
    listed = [p for path in problems for p in records.read_input(path, records.Problem)]
    _check_problems(listed)
    if not verdicts:
        _check_docstrings(listed)
    judged = _count_verdicts(verdicts, frozenset(p.task_id for p in listed))
    tasks = benchmark_files.read_benchmarks(benchmarks)
    if benchmarks and not tasks:
        raise InputError(f"{', '.join(benchmarks)}: no problem; set benchmarks to files of them")
    steps = _Steps(listed)
    with runner.open() as session:  # checks its settings, also where no program runs
        if licenses:
            steps.apply("license", _license_rule(allowed))
        if verdicts:
            steps.apply("samples", _sample_rule(judged, drop_always_solved=drop_always_solved))
        steps.apply("near duplicates", _near_duplicate_rule(steps.problems, jaccard))
        if tasks:
            steps.apply("benchmarks: text", TextIndex(tasks).find)
            behavior = BehaviorIndex(benchmark_files.make_probes(tasks, session), session)
            steps.apply("benchmarks: behavior", behavior.find)
    _write(pathlib.Path(output), steps, len(listed), judged.other)


def _check_rules(jaccard: float, verdicts: Sequence[str], *, drop_always_solved: bool) -> None:
    if not 0 < jaccard <= 1:
        raise InputError(f"jaccard={jaccard}; expected more than 0, up to 1; set it so")
    if drop_always_solved and not verdicts:
        raise InputError("drop_always_solved is True without verdicts; set verdicts, too")


def _check_problems(problems: Sequence[records.Problem]) -> None:
    """Refuses problems of one task_id that differ, since a verdict could be on either.

    Raises:
      InputError: there are such, a license is no text, or there is no problem.
    """
    if not problems:
        raise InputError("no problems; expected JSON Lines of Problems; set problems to them")
    first: dict[str, str] = {}
    for problem in problems:
        program = problem.prompt + problem.canonical_solution
        if not isinstance(license := problem.extra.get("license") or "", str):
            raise InputError(
                f"{problem.task_id}: license is {license!r}; expected an SPDX expression"
            )
        if first.setdefault(problem.task_id, program) != program:
            raise InputError(
                f"two problems that differ have the task_id {problem.task_id!r}; expected names of "
                "their own; set problems to files of such"
            )


def _check_docstrings(problems: Sequence[records.Problem]) -> None:
    """Refuses docstrings that a model wrote and no verdict speaks for."""
    names = [p.task_id for p in problems if p.extra.get("docstring") == SAMPLED]
    if names:
        raise InputError(
            f"{len(names)} problems have sampled docstrings, {names[0]} first, from which no code "
            "was judged; set verdicts to those of code sampled from these problems"
        )


def _license_rule(allowed: AllowList) -> Rule:
    def rule(problem: records.Problem) -> str:
        expression = problem.extra.get("license") or ""
        return "" if allowed.admits(expression) else expression or "no license"

    return rule


class _Verdicts(NamedTuple):
    """Counts of verdicts by task_id; `other` of those on problems that aren't here."""

    judged: Counter[str]
    passed: Counter[str]
    other: int


def _count_verdicts(paths: Sequence[str], names: frozenset[str]) -> _Verdicts:
    """Counts verdicts; samples that the infrastructure lost have none.

    Raises:
      InputError: there are verdicts, but on none of the problems.
    """
    judged, passed = Counter[str](), Counter[str]()
    for path in paths:
        for verdict in records.read_input(path, records.Verdict):
            if verdict.verdict not in _VERDICTS:
                raise InputError(
                    f"{path}: verdict {verdict.verdict!r}; expected {', '.join(_VERDICTS)}; set "
                    "verdicts to files of evaluate"
                )
            judged[verdict.task_id] += verdict.verdict not in _NO_VERDICT
            passed[verdict.task_id] += verdict.passed
    if paths and not any(judged[name] for name in names):
        raise InputError(
            f"{', '.join(paths)}: verdicts on none of the {len(names)} problems; set verdicts to "
            "those on samples of these problems"
        )
    return _Verdicts(judged, passed, sum(n for name, n in judged.items() if name not in names))


def _sample_rule(verdicts: _Verdicts, *, drop_always_solved: bool) -> Rule:
    def rule(problem: records.Problem) -> str:
        count, solved = verdicts.judged[problem.task_id], verdicts.passed[problem.task_id]
        if not count:
            return "no sample was judged"
        if not solved:
            return f"solved by none of {count} samples"
        is_easy = drop_always_solved and solved == count
        return f"solved by all {count} samples" if is_easy else ""

    return rule


def _near_duplicate_rule(problems: Sequence[records.Problem], jaccard: float) -> Rule:
    sets = [
        near_duplicates.shingles(
            near_duplicates.code_tokens(problem.prompt + problem.canonical_solution)
        )
        for problem in problems
    ]
    pairs = near_duplicates.find_near_duplicates(sets, jaccard)
    like = {id(problems[index]): problems[other].task_id for index, other in pairs}
    return lambda problem: like.get(id(problem), "")


def _write(folder: pathlib.Path, steps: _Steps, total: int, other_verdicts: int) -> None:
    report = {"problems": total, "remaining": len(steps.problems), "steps": steps.rows}
    report["verdicts_on_other_problems"] = other_verdicts
    files.atomic_write(folder / "report.json", json.dumps(report, indent=1) + "\n")
    records.write_jsonl(folder / "problems.jsonl", steps.problems)
    lines = [*_table(steps.rows), "", f"{len(steps.problems)} of {total} problems"]
    lines += [f"{other_verdicts} verdicts are on other problems"] if other_verdicts else []
    text = "\n".join([*lines, ""])
    files.atomic_write(folder / "report.md", text)
    print(text)


def _table(rows: Sequence[dict]) -> Iterator[str]:
    yield "| step | before | dropped | examples |"
    yield "|---|---|---|---|"
    for row in rows:
        examples = markdown.format_codes(row["examples"])
        yield f"| {row['step']} | {row['before']} | {row['dropped']} | {examples} |"
