"""Our own solutions of MultiPL-E problems, and the problems themselves where they are there."""

import pathlib
import re

from codex_jax import records
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.languages import registry
from codex_jax.evaluate.problems import formats

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data" / "multipl_e"
_FILES = {"javascript": "js", "typescript": "ts", "ruby": "rb", "perl": "pl", "bash": "sh"}
_FILES |= {"rust": "rs", "csharp": "cs"}
_HEAD = "#include <assert.h>\n#include <stdbool.h>\n#include <stdlib.h>\n#include <string.h>\n"
# MultiPL-E has no C: signatures and assertions of ours for some of the same problems.
_C = {
    13: ("long gcd(long a, long b)", "gcd(3, 5) == 1", "gcd(144, 60) == 12"),
    23: ("long length(const char *s)", 'length("") == 0', 'length("asdasnakj") == 9'),
    24: ("long divisor(long n)", "divisor(3) == 1", "divisor(100) == 50"),
    31: ("bool prime(long n)", "!prime(6)", "prime(101)", "!prime(1)"),
    41: ("long collisions(long n)", "collisions(2) == 4", "collisions(10) == 100"),
    48: ("bool palindrome(const char *s)", 'palindrome("aba")', '!palindrome("zbcd")'),
    49: ("long modp(long n, long p)", "modp(3, 5) == 3", "modp(1101, 101) == 2"),
    53: ("long add(long x, long y)", "add(0, 1) == 1", "add(5, 7) == 12"),
    55: ("long fib(long n)", "fib(10) == 55", "fib(1) == 1"),
    60: ("long sum_to(long n)", "sum_to(1) == 1", "sum_to(100) == 5050"),
}


def solutions() -> dict[str, dict[int, str]]:
    """Language -> number of a HumanEval problem -> completion."""
    text = pathlib.Path(__file__).with_name("solutions.txt").read_text()
    completions: dict[str, dict[int, str]] = {}
    for section in re.split(r"^# ", text, flags=re.MULTILINE)[1:]:
        names, *lines = section.strip().splitlines()
        end = next(line[3:].strip() for line in lines if line.startswith("end"))
        bodies = [line.split(" ", 1) for line in lines if line[:1].isdigit()]
        for name in names.split():
            completions[name] = {int(n): f"    {body}\n{end}\n" for n, body in bodies}
    return completions


def problems(language: str) -> dict[int, records.Problem] | None:
    """Number -> problem; None where the file is absent."""
    if language == "c":
        return {number: _c(number, *row) for number, row in _C.items()}
    path = DATA / f"humaneval-{_FILES.get(language, language)}.jsonl.gz"
    if not path.exists():
        return None
    tasks = formats.load_problems(str(path)).values()
    return {int(task.task_id.split("_")[1]): task for task in tasks}


def _c(number: int, signature: str, *holds: str) -> records.Problem:
    lines = "".join(f"    assert({what});\n" for what in holds)
    return records.Problem(
        task_id=f"HumanEval_{number}_c",
        prompt=f"{_HEAD}{signature} {{\n",
        test=f"}}\nint main() {{\n{lines}    return 0;\n}}\n",
        extra={"language": "c", "mode": "in-process"},
    )


def known_good(language: str) -> list[tuple[records.Problem, str]]:
    """Problems, and completions of them that pass."""
    tasks = problems(language) or {}
    bodies = solutions().get(language, {})
    return [(tasks[number], body) for number, body in bodies.items() if number in tasks]


def absent(language: str) -> str:
    """Why the language can't be tested here; empty where it can."""
    tasks = problems(language)
    if tasks is None:
        return "../shared/data/multipl_e is absent"
    text = "\n".join(task.prompt + task.test for task in tasks.values())
    reason = registry.absence(language, text)
    return f"{language} is {reason}" if reason else ""


def judged(
    folder: pathlib.Path,
    pairs: list[tuple[records.Problem, str]],
    isolation: str = "bubblewrap",
    **settings: object,
) -> list[records.Verdict]:
    """Verdicts of (problem, completion) pairs, in their order; `folder` is written to."""
    tasks = {problem.task_id: problem for problem, _ in pairs}
    records.write_jsonl(folder / "p.jsonl", tasks.values())
    samples = [
        records.Completion(task_id=problem.task_id, completion=body, sample_index=index)
        for index, (problem, body) in enumerate(pairs)
    ]
    records.write_jsonl(folder / "c.jsonl", samples)
    evaluate(
        problems=str(folder / "p.jsonl"),
        completions=str(folder / "c.jsonl"),
        output=str(folder / "out"),
        sandbox=isolation,
        ks=(1,),
        **settings,
    )
    rows = records.read_jsonl(folder / "out" / "verdicts.jsonl", records.Verdict)
    return sorted(rows, key=lambda row: row.sample_index)
