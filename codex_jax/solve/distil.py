"""The `solve distil` command: solved prompts as training texts, which teach the search to a model.

Each makes two problems with a solution: "whole", one body, and "helpers", a function for each
piece, documented by its steps, and the call of them all. `data build --mixture=codex_s` makes a
seqio Task of them.
"""

import ast
import collections
import warnings
from collections.abc import Iterator, Mapping, Sequence

from codex_jax import InputError, files, problem_texts, records
from codex_jax.evaluate.select.behaviors import Call
from codex_jax.list_settings import check_distinct
from codex_jax.solve import search, source_text
from codex_jax.solve.plan import Plan
from codex_jax.solve.solver import Runner, Task, read_tasks

FORMS = ("whole", "helpers")
_IS_DISTILLED = files.has_json_keys("task_id", "prompt", "canonical_solution", "form", lines=True)


def distil(
    *,
    problems: str,
    completions: str,
    output: str,
    runner: Runner,
    forms: Sequence[str] = FORMS,
) -> dict[str, int]:
    """Writes what `solve` found as problems with solutions, in two forms, for training.

    A form is written where its program answers like the completion on all inputs that are made from
    the prompt. Tests and references are never read.

    Args:
      problems: JSON Lines of problems, as `solve` read them.
      completions: completions.jsonl of `solve`; what the search didn't solve is passed over.
      output: JSON Lines of problems to write: a training text is prompt and canonical_solution.
      runner: where programs run.
      forms: "whole" for one body, "helpers" for a function of each piece and their caller.

    Returns:
      Counts of the problems by form.

    Raises:
      InputError: unusable input, or no sandbox works here.
    """
    _check_forms(forms)
    files.claim_file(output, _IS_DISTILLED, "output", [problems, completions])
    tasks = read_tasks(problems)
    solved = _read_solved(completions, tasks)
    rows: list[records.Problem] = []
    with runner.open() as session:
        for completion in solved:
            try:
                rows += _write_forms(tasks[completion.task_id], completion, forms, session)
            except (SyntaxError, ValueError, TypeError, LookupError, RecursionError):
                raise InputError(
                    f"{completions}: {completion.task_id} isn't composed of pieces; set "
                    "completions to what solve wrote"
                ) from None
    records.write_jsonl(output, rows)
    counts = collections.Counter(row.extra["form"] for row in rows)
    print(f"{output}: " + ", ".join(f"{counts[form]} {form}" for form in forms))
    return {form: counts[form] for form in forms}


def _check_forms(forms: Sequence[str]) -> None:
    if not forms or isinstance(forms, str) or not all(form in FORMS for form in forms):
        raise InputError(f"forms is {forms!r}; set it to one or both of {FORMS}")
    check_distinct(forms=forms)


def _read_solved(path: str, tasks: Mapping[str, Task]) -> list[records.Completion]:
    """Reads the first completion of each task that the search solved.

    Raises:
      InputError: no completions, one of no task, or two first ones of a task.
    """
    rows = records.read_input(path, records.Completion)
    solved: dict[str, records.Completion] = {}
    for row in rows:
        if row.task_id not in tasks:
            raise InputError(
                f"{path}: {row.task_id!r} is no problem; set problems to the file that solve read"
            )
        if row.sample_index or "windows" not in row.extra:
            continue
        if row.task_id in solved:
            raise InputError(f"{path}: {row.task_id} has two completions of sample_index 0")
        solved[row.task_id] = row
    return list(solved.values())


def _write_forms(
    task: Task, completion: records.Completion, forms: Sequence[str], session: search.Session
) -> Iterator[records.Problem]:
    """Yields those forms of a completion that answer as it does."""
    if task.plan is None:
        return
    source = task.prompt + completion.completion
    steps = _step_functions(source)
    bodies = {
        "whole": merge(source, steps, task.plan.argument),
        "helpers": document(source, steps, task.plan, completion.extra["windows"]),
    }
    expected = _answers(task, completion.completion, session)
    for form in dict.fromkeys(forms):
        body = bodies[form]
        if body and expected and _answers(task, body, session) == expected:
            yield records.Problem(
                task_id=f"{task.task_id}/{form}",
                prompt=task.prompt,
                entry_point=task.entry_point,
                canonical_solution=body,
                extra={"form": form, "package": task.task_id},  # one split for both
            )


def _answers(task: Task, body: str, session: search.Session) -> str:
    """Returns a digest of a program's answers to all inputs; "" if it doesn't answer one."""
    calls: list[Call] = [((value,), {}) for value in task.inputs]
    answers = session.run(task.prompt + body, task.entry_point, calls).answers
    if len(answers) < len(calls) or any(answer.error for answer in answers):
        return ""
    return search.digest([answer.value for answer in answers])


def _step_functions(source: str) -> list[ast.FunctionDef]:
    """Returns the functions within a composed program's, in order."""
    with warnings.catch_warnings(action="ignore"):  # of unusual escapes
        body = ast.parse(source).body
    *_, function = (node for node in body if isinstance(node, ast.FunctionDef))
    return [node for node in function.body if isinstance(node, ast.FunctionDef)]


def merge(source: str, steps: Sequence[ast.FunctionDef], argument: str) -> str:
    """Returns one body that does all steps; "" if one of them returns early, or can't be inlined.

    A step's last `return` becomes an assignment to the argument; all else stays as it is written.
    """
    lines = []
    for step in steps:
        *statements, last = step.body
        returns = [n for s in statements for n in ast.walk(s) if isinstance(n, ast.Return)]
        is_plain = isinstance(last, ast.Return) and last.value is not None and not returns
        if not is_plain or step.args.args[0].arg != argument or _calls(step, step.name):
            return ""
        lines.append(_inline(source, step, argument))
    return "".join([*lines, f"{source_text.INDENT}return {argument}\n"])


def _inline(source: str, step: ast.FunctionDef, argument: str) -> str:
    *statements, last = step.body
    assert isinstance(last, ast.Return)
    assert last.value is not None
    start, indentation = source_text.find_body(source, step)
    stop, _ = problem_texts.find_span(source, last)
    text = source[start:stop]
    if isinstance(last.value, ast.Name) and last.value.id == argument:
        text = text.rstrip("; \t")
        text += "\n" if text and text[-1] != "\n" else ""
    else:
        _, end = source_text.find_lines(source, last)
        value = source[stop + len("return") : end].lstrip(" \t")
        text += f"{argument} = {value}"
        statements.append(ast.Assign([ast.Name(argument, ast.Store())], last.value))
    return source_text.write(source_text.reindent(text, indentation), statements)


def _calls(function: ast.FunctionDef, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(function))


def document(
    source: str, steps: Sequence[ast.FunctionDef], plan: Plan, windows: Sequence[int]
) -> str:
    """Returns the body with a docstring in each step's function: the texts of its steps."""
    if len(windows) != len(steps) or sum(windows) != len(plan.steps):
        return ""
    lines, first, call = [], 0, plan.argument
    for step, size in zip(steps, windows, strict=True):
        text = ", then ".join(plan.steps[first : first + size])
        docstring = ast.Expr(ast.Constant(text[:1].upper() + text[1:] + "."))
        lines.append(_insert(source, step, docstring))
        first, call = first + size, f"{step.name}({call})"
    return "\n".join(lines) + f"\n{source_text.INDENT}return {call}\n"


def _insert(source: str, step: ast.FunctionDef, docstring: ast.Expr) -> str:
    start, stop = source_text.find_lines(source, step)
    body, indentation = source_text.find_body(source, step)
    text = indentation + ast.unparse(ast.Module([docstring], [])) + "\n"
    copy = ast.FunctionDef(**{**dict(ast.iter_fields(step)), "body": [docstring, *step.body]})
    return source_text.write(source[start:body] + text + source[body:stop], [copy])
