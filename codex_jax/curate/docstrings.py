"""The `curate docstrings` command: problems of functions whose docstrings a model has written.

Codex-D (section 5 of the paper) reads signature and body and writes the docstring. A docstring that
says too little, or something else, is found out by the code that is sampled from it: `curate
filter --verdicts` keeps the problems that a sample solves.
"""

import ast
import dataclasses
import hashlib
import pathlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence

from codex_jax import InputError, files, problem_texts, records
from codex_jax.curate import markdown
from codex_jax.curate.problems import usefulness
from codex_jax.curate.problems.usefulness import RejectedError
from codex_jax.list_settings import check_distinct

SAMPLED = "sampled"  # `extra["docstring"]` of a problem whose docstring a model has written
_QUOTES = '"""'
_EXAMPLES = 3
_OWN_FILES = {
    "prompts.jsonl": files.has_json_keys("task_id", "prompt", lines=True),
    "documented.jsonl": files.has_json_keys("task_id", "docstring", lines=True),
    "report.md": files.has_text("| docstring |"),
}


def write_docstrings(
    *, problems: Sequence[str], output: str, completions: Sequence[str] = ()
) -> None:
    """Writes prompts for docstrings, and problems that have the docstrings which a model wrote.

    `output` receives prompts.jsonl, where each program ends in the opening quotes of a docstring,
    for `sample` with a model of the Task codex_d. Run again with its completions, it also receives
    documented.jsonl, a problem for each distinct docstring, and report.md, with a row for each
    reason that docstrings fell out for. Code is then sampled from these problems and judged, and
    `curate filter --verdicts` keeps those that are solved.

    Args:
      problems: JSON Lines of problems, such as undocumented.jsonl of `curate traces`; a docstring
        that is there is replaced.
      output: folder to write into.
      completions: JSON Lines of docstrings that were sampled from prompts.jsonl.

    Raises:
      InputError: unusable input, or docstrings of none of the problems.
    """
    check_distinct(problems=problems, completions=completions)
    files.claim_folder(output, _OWN_FILES, "output", (*problems, *completions))
    listed = [p for path in problems for p in records.read_input(path, records.Problem)]
    _check_names(listed)
    prompts = [prompt for problem in listed if (prompt := _make_prompt(problem))]
    if not prompts:
        raise InputError(
            f"no Python function with its body among {len(listed)} problems; set problems to files "
            "of functions in HumanEval's fields"
        )
    folder = pathlib.Path(output)
    samples = [c for path in completions for c in records.read_input(path, records.Completion)]
    _check_samples(samples, {prompt.task_id for prompt in prompts})
    records.write_jsonl(folder / "prompts.jsonl", prompts)
    if not completions:
        print(f"{len(prompts)} prompts of {len(listed)} problems: {folder / 'prompts.jsonl'}")
        return
    report = _Report()
    documented = list(_documented(listed, samples, report))
    records.write_jsonl(folder / "documented.jsonl", documented)
    origins = {problem.extra["origin"] for problem in documented}
    text = f"{report.table()}\n\n{len(documented)} problems of {len(origins)} functions\n"
    files.atomic_write(folder / "report.md", text)
    print(text)


def _check_names(problems: Sequence[records.Problem]) -> None:
    counts = Counter(problem.task_id for problem in problems)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise InputError(
            f"{len(repeated)} task_ids occur twice, {repeated[0]} first; set problems to files of "
            "distinct problems"
        )


def _check_samples(samples: Sequence[records.Completion], names: set[str]) -> None:
    if strange := [sample.task_id for sample in samples if sample.task_id not in names]:
        raise InputError(
            f"{len(strange)} of {len(samples)} completions are of other problems, "
            f"{strange[0]!r} first; set completions to samples of prompts.jsonl"
        )


def _make_prompt(problem: records.Problem) -> records.Problem | None:
    """Returns the program with opening quotes behind it; None where it has no such function."""
    text = problem_texts.to_docstring_text(
        problem.prompt, problem.canonical_solution, problem.entry_point
    )
    if text is None or not problem.canonical_solution.strip():
        return None
    return records.Problem(task_id=problem.task_id, prompt=text.context)


class _Report:
    """Counts of what became of docstrings, with examples."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, reason: str, task_id: str) -> None:
        self.counts[reason] += 1
        self.examples.setdefault(reason, []).append(task_id)

    def table(self) -> str:
        lines = ["| docstring | count | examples |", "|---|---|---|"]
        for reason, count in self.counts.most_common():
            examples = markdown.format_codes(self.examples[reason][:_EXAMPLES])
            lines.append(f"| {reason} | {count} | {examples} |")
        return "\n".join(lines)


def _documented(
    problems: Sequence[records.Problem], samples: Sequence[records.Completion], report: _Report
) -> Iterator[records.Problem]:
    """Yields the problems in their order, one for each docstring that is of use."""
    by_problem: dict[str, list[records.Completion]] = {}
    for sample in samples:
        by_problem.setdefault(sample.task_id, []).append(sample)
    for problem in problems:
        names: set[str] = set()
        for sample in by_problem.get(problem.task_id, []):
            try:
                documented = with_sample(problem, sample)
            except RejectedError as error:
                report.add(str(error), problem.task_id)
                continue
            is_new = documented.task_id not in names
            report.add("makes a problem" if is_new else "the same as another", problem.task_id)
            names.add(documented.task_id)
            if is_new:
                yield documented


def with_sample(problem: records.Problem, sample: records.Completion) -> records.Problem:
    """Returns a problem with a sampled docstring in place of its own, if any.

    Its task_id is the former one and a number made of the docstring, so that verdicts on it are on
    no other docstring.

    Raises:
      RejectedError: the docstring has no end, says little, or changes the program.
    """
    if sample.finish_reason == "length" and _QUOTES not in sample.completion:
        raise RejectedError("has no end")
    arguments = problem.prompt, sample.completion, problem.entry_point, problem.canonical_solution
    prompt = problem_texts.with_docstring(*arguments) or ""
    docstring, program = _parse(prompt, problem)
    if not docstring.strip():
        raise RejectedError("is empty")
    if program != _parse(problem.prompt, problem)[1]:
        raise RejectedError("changes the program")
    usefulness.check_docstring(docstring)
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    extra = problem.extra | {"documented": True, "docstring": SAMPLED, "origin": problem.task_id}
    return dataclasses.replace(
        problem, task_id=f"{problem.task_id}#{digest}", prompt=prompt, extra=extra
    )


def _parse(prompt: str, problem: records.Problem) -> tuple[str, str]:
    """Returns the docstring of a program's function, and the syntax tree without it.

    Raises:
      RejectedError: it is no program.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # odd escapes in a docstring
            tree = ast.parse(prompt + problem.canonical_solution)
            docstring = _pop_docstring(tree, problem.entry_point)
            return docstring, ast.dump(tree)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise RejectedError("isn't Python") from None


def _pop_docstring(tree: ast.Module, entry_point: str) -> str:
    """Removes the docstring of the last function, or of the last of that name, and returns it."""
    functions = (n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    named = [node for node in functions if entry_point in ("", node.name)]
    docstring = ast.get_docstring(named[-1]) if named else None
    if docstring is None:
        return ""
    del named[-1].body[0]
    return docstring
