"""Libraries that problems import themselves: tried before programs are judged.

A program can't pass where its problem's own imports fail, and is not to blame. Such problems are
left out of pass@k, with the command that installs what is missing. So are problems in Python whose
tests run beside the program, where the sandbox's python3 is another version and can't import the
`packages` that are set.
"""

import platform
import sys
from collections.abc import Collection, Iterable, Mapping

from codex_jax import records
from codex_jax.evaluate.judging.pool import Job, Pool
from codex_jax.evaluate.languages import registry
from codex_jax.evaluate.languages.spec import Language
from codex_jax.evaluate.sandbox import packages
from codex_jax.evaluate.verdicts import Cause

_FUNCTION = "codex_jax_imports"
_TEST = "def check(candidate):\n    assert candidate() is None\n"
_Key = tuple[str, str, tuple[str, ...]]  # mode, language, statements


def missing_libraries(tasks: Mapping[str, records.Problem], pool: Pool) -> dict[str, str]:
    """Returns why problems can't be judged on this machine, by task_id: what they import is absent.

    The imports of a problem are run together, in its language and its sandbox; where that fails,
    one by one. If each of them works by itself, the problem is not to blame on this machine. Those
    of all problems in Python whose tests run outside are first tried in one program.
    """
    foreign = _packages_of_another_python(pool)
    imports = {name: _imports(problem, foreign) for name, problem in tasks.items()}
    keys = {
        name: _key(tasks[name], tuple(statements.values())) for name, statements in imports.items()
    }
    untried = {key for key in keys.values() if key[2]}
    outside = sorted(key for key in untried if not key[0])
    statements = dict.fromkeys(statement for key in outside for statement in key[2])
    if len(outside) > 1 and not _failures([(*outside[0][:2], tuple(statements))], pool):
        untried.difference_update(outside)
    failed = _failures(untried, pool)
    single = {
        name: {library: _key(tasks[name], (text,)) for library, text in imports[name].items()}
        for name, key in keys.items()
        if key in failed
    }
    absent = _failures({key for alone in single.values() for key in alone.values()}, pool)
    reasons = {}
    for name, problem in tasks.items():
        libraries = [n for n, key in single.get(name, {}).items() if key in absent]
        hosted = _absent_here(problem)
        if libraries or hosted:
            commands = [_remedy(_language(problem), library, foreign) for library in libraries]
            reasons[name] = _reason(_language(problem), libraries, commands, hosted)
    return reasons


def _packages_of_another_python(pool: Pool) -> list[str]:
    """Returns the packages that are set, if the sandbox's python3 is another version than this."""
    here = f"Python {sys.version_info.major}.{sys.version_info.minor}."
    if not pool.limits.packages or registry.tool_version("python").startswith(here):
        return []
    return [description.split()[0] for description in pool.limits.packages]


def _imports(problem: records.Problem, foreign: Iterable[str]) -> dict[str, str]:
    """Returns the statements that import libraries where the problem's programs run, by name."""
    language, text = _language(problem), problem.prompt
    if not problem.extra.get("mode"):
        return language.imports(text)
    statements = language.imports(f"{text}\n{problem.test}")
    if language.name == "python":
        statements = {name: f"import {name}" for name in foreign} | statements
    return statements


def _remedy(language: Language, library: str, foreign: Collection[str]) -> str:
    """Returns what lets programs import a library that they can't import."""
    if language.name == "python" and library in foreign:
        return (
            f"{registry.tool_version(language.name)} runs them, but packages are those of Python "
            f"{platform.python_version()}; install that Python as python3"
        )
    return registry.install_command(language, library)


def _absent_here(problem: records.Problem) -> list[str]:
    """Returns the packages that a test outside imports and the evaluator's Python hasn't."""
    if problem.extra.get("mode"):
        return []
    names = {name.partition(".")[0] for name in _language(problem).imports(problem.test)}
    return sorted(name for name in names if not packages.is_installed(name))


def _language(problem: records.Problem) -> Language:
    name = problem.extra["language"] if problem.extra.get("mode") else "python"
    return registry.find_language(name)


def _key(problem: records.Problem, statements: tuple[str, ...]) -> _Key:
    mode = "in-process" if problem.extra.get("mode") else ""
    return mode, _language(problem).name, statements


def _failures(keys: Iterable[_Key], pool: Pool) -> set[_Key]:
    """Runs programs that do nothing but import; returns the keys of those that fail."""
    jobs = {_job(pool, key): key for key in sorted(keys)}
    faultless = (Cause.PASSED, Cause.INFRA_ERROR)  # the latter is told when programs are judged
    return {jobs[job] for job, outcome in pool.judge(list(jobs)) if outcome.cause not in faultless}


def _job(pool: Pool, key: _Key) -> Job:
    mode, name, statements = key
    language = registry.find_language(name)
    problem_key = f"imports {mode} {name}"
    if mode:
        source, test, entry_point = language.check_imports(statements), language.check_test, "f"
    else:
        source = "\n".join([*statements, f"def {_FUNCTION}(): pass", ""])
        test, entry_point = _TEST, _FUNCTION
    if problem_key not in pool.problems:
        extra = {"language": name, "mode": mode} if mode else {}
        fields = {"task_id": problem_key, "prompt": "", "entry_point": entry_point, "test": test}
        pool.replace({problem_key: records.Problem(**fields, extra=extra)})
    return Job(problem_key, source)


def _reason(
    language: Language, libraries: list[str], commands: list[str], hosted: list[str]
) -> str:
    parts = []
    if libraries:
        parts.append(f"{', '.join(libraries)} can't be imported by programs in {language.name}")
        parts += list(dict.fromkeys(commands))
    if hosted:
        parts.append(f"its test needs {', '.join(hosted)}")
        parts.append(f"install with: pip install {' '.join(hosted)}")
    return "; ".join(parts)
