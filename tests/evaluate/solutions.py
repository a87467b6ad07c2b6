"""Our own solutions of MultiPL-E problems, and the problems themselves where they are there."""

import pathlib
import re

from codex_jax import records
from codex_jax.evaluate import formats, languages
from codex_jax.evaluate.evaluate import evaluate

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data" / "multipl_e"
_FILES = {"javascript": "js", "typescript": "ts", "ruby": "rb", "perl": "pl", "bash": "sh"}
_FILES |= {"rust": "rs", "csharp": "cs"}


def solutions() -> dict[str, dict[int, str]]:
    """Language -> number of a HumanEval problem -> completion."""
    text = pathlib.Path(__file__).with_name("solutions.txt").read_text()
    found: dict[str, dict[int, str]] = {}
    for section in re.split(r"^# ", text, flags=re.MULTILINE)[1:]:
        names, *lines = section.strip().splitlines()
        end = next(line[3:].strip() for line in lines if line.startswith("end"))
        bodies = [line.split(" ", 1) for line in lines if line[:1].isdigit()]
        for name in names.split():
            found[name] = {int(n): f"    {body}\n{end}\n" for n, body in bodies}
    return found


def problems(language: str) -> dict[int, records.Problem] | None:
    """Number -> problem; None where the file is absent."""
    path = DATA / f"humaneval-{_FILES.get(language, language)}.jsonl.gz"
    if not path.exists():
        return None
    tasks = formats.load_problems(str(path)).values()
    return {int(task.task_id.split("_")[1]): task for task in tasks}


def known_good(language: str) -> list[tuple[records.Problem, str]]:
    """Problems, and completions of them that pass."""
    tasks = problems(language) or {}
    bodies = solutions().get(language, {})
    return [(tasks[number], body) for number, body in bodies.items() if number in tasks]


def absent(language: str) -> str:
    """Why the language can't be tested here; empty where it can."""
    if missing := languages.LANGUAGES[language].missing():
        return f"{language}: {', '.join(missing)} not installed"
    return "" if (DATA.exists()) else "../shared/data/multipl_e is absent"


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
        records.Completion(task_id=problem.task_id, completion=body, sample_index=place)
        for place, (problem, body) in enumerate(pairs)
    ]
    records.write_jsonl(folder / "c.jsonl", samples)
    evaluate(
        problems=str(folder / "p.jsonl"),
        completions=str(folder / "c.jsonl"),
        output=str(folder / "out"),
        isolation=isolation,
        ks=(1,),
        **settings,
    )
    rows = records.read_jsonl(folder / "out" / "verdicts.jsonl", records.Verdict)
    return sorted(rows, key=lambda row: row.sample_index)
