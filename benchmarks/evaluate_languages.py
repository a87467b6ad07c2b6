"""CPU milliseconds a program in C++, Java and Go: our sandboxes beside a naive loop, in one run.

    python benchmarks/evaluate_languages.py --languages cpp java go

The naive loop is what harnesses do: write the file, run the compiler, run what it made, all
unprotected. Programs are our own solutions of MultiPL-E's problems, each made distinct --copies
times. What each language is made ready with, once a machine, is made before the clock starts; its
cost is printed. Needs ../shared/data and, for honest figures, root and cgroups.

    python benchmarks/evaluate_languages.py --known_good   # every language's recorded set
    python benchmarks/evaluate_languages.py --attacks      # none may pass, neighbours must
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from benchmarks.evaluate_throughput import metered
from codex_jax import records
from codex_jax.evaluate import languages
from codex_jax.evaluate.evaluate import evaluate
from tests.evaluate import attacks_languages, solutions

_COMMENT = {"python": "#", "ruby": "#", "perl": "#", "bash": "#", "r": "#", "lua": "--"}
_NAIVE = {
    "cpp": ("program.cpp", ["g++ -std=c++17 program.cpp -o program", "./program"]),
    "java": ("Problem.java", ["javac Problem.java", "java -ea Problem"]),
    "go": ("program_test.go", ["go test program_test.go"]),
    "javascript": ("program.js", ["node program.js"]),
    "typescript": ("program.ts", ["tsc --target es2020 program.ts", "node program.js"]),
    "ruby": ("program.rb", ["ruby program.rb"]),
    "php": ("program.php", ["php program.php"]),
    "perl": ("program.pl", ["perl program.pl"]),
    "bash": ("program.sh", ["bash program.sh"]),
    "rust": ("program.rs", ["rustc program.rs", "./program"]),
    "lua": ("program.lua", ["lua program.lua"]),
}


def naive(language: str, programs: list[str], folder: pathlib.Path) -> int:
    """Runs them one after the other; how many end with status 0."""
    name, commands = _NAIVE[language]
    passed = 0
    for text in programs:
        (folder / name).write_text(text)
        passed += all(
            subprocess.run(
                command, shell=True, cwd=folder, capture_output=True, timeout=60
            ).returncode
            == 0
            for command in commands
        )
    return passed


def measure(language: str, copies: int, isolations: list[str]) -> None:
    pairs = solutions.known_good(language)
    mark = _COMMENT.get(language, "//")
    samples = [
        records.Completion(task_id=task.task_id, completion=f"{body}{mark} {i}\n", sample_index=i)
        for task, body in pairs
        for i in range(copies)
    ]
    tasks = {task.task_id: task for task, _ in pairs}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        records.write_jsonl(folder / "p.jsonl", tasks.values())
        records.write_jsonl(folder / "c.jsonl", samples)
        records.write_jsonl(folder / "one.jsonl", samples[:1])
        given = {"problems": str(folder / "p.jsonl"), "ks": (1,), "workers": 1}
        with metered() as cpu_s:
            before = cpu_s()
            evaluate(
                **given,
                completions=str(folder / "one.jsonl"),
                output=str(folder / "ready"),
                isolation=isolations[0],
            )
            print(f"{language}: made ready, first program: {cpu_s() - before:.1f} CPU s")
        texts = [tasks[s.task_id].prompt + s.completion + tasks[s.task_id].test for s in samples]
        texts = [text.replace("import org.javatuples.*;\n", "") for text in texts]
        base = 0.0
        for isolation in ["naive loop, unprotected", *isolations]:
            with metered() as cpu_s:
                start, before = time.perf_counter(), cpu_s()
                if isolation.startswith("naive"):
                    passed = naive(language, texts, folder)
                else:
                    report = evaluate(
                        **given,
                        completions=str(folder / "c.jsonl"),
                        output=str(folder / isolation),
                        isolation=isolation,
                    )
                    passed = report["causes"].get("passed", 0)
                cpu, wall = cpu_s() - before, time.perf_counter() - start
            base = base or cpu
            print(
                f"{language:8}{isolation:25} {1000 * cpu / len(samples):8.1f} CPU ms a program, "
                f"{base / cpu:5.2f} x, {len(samples) / wall:5.1f} programs/s, "
                f"{passed} of {len(samples)} passed (load {os.getloadavg()[0]:.1f})",
                flush=True,
            )


def judge(pairs: list, isolation: str, **settings) -> list[records.Verdict]:
    """Verdicts of (problem, completion) pairs, in their order."""
    samples = [
        records.Completion(task_id=task.task_id, completion=body, sample_index=i)
        for i, (task, body) in enumerate(pairs)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        tasks = {task.task_id: task for task, _ in pairs}
        records.write_jsonl(folder / "p.jsonl", tasks.values())
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


def known_good(language: str, isolation: str) -> None:
    rows = judge(solutions.known_good(language), isolation)
    passed = sum(row.verdict == "passed" for row in rows)
    print(f"{language:12}{isolation:12}{passed} of {len(rows)} passed", flush=True)
    for row in rows:
        if row.verdict != "passed":
            print(f"  {row.task_id}: {row.cause}: {row.detail}")


def attack(language: str, isolation: str) -> None:
    """Attacks and honest programs take turns."""
    task = solutions.problems(language)[53]
    attacks = attacks_languages.ATTACKS.get(language, [])
    honest = solutions.solutions()[language][53]
    pairs = []
    for place, (_, source, _) in enumerate(attacks):
        pairs += [(task, f"    {source}\n"), (task, honest + "\n" * place)]
    rows = judge(pairs, isolation, timeout_s=1.0, memory_mb=256) if pairs else []
    harmed = [row for row in rows[1::2] if row.cause != "passed"]
    forged = [row for row in rows[::2] if row.cause == "passed"]
    print(
        f"{language:12}{isolation:12}{len(attacks)} attacks, {len(forged)} forged, "
        f"{len(harmed)} of {len(rows) // 2} neighbours harmed",
        flush=True,
    )
    for (title, _, causes), row in zip(attacks, rows[::2], strict=True):
        if row.cause not in causes:
            print(f"  {title}: {row.cause}: {row.detail}")
    for row in harmed:
        print(f"  neighbour: {row.cause}: {row.detail}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--languages", nargs="+", default=[])
    parser.add_argument("--attacks", action="store_true")
    parser.add_argument("--known_good", action="store_true")
    parser.add_argument("--copies", type=int, default=2)
    parser.add_argument("--isolations", nargs="+", default=["bubblewrap", "gvisor"])
    options = parser.parse_args()
    if options.attacks or options.known_good:
        act = attack if options.attacks else known_good
        for language in options.languages or solutions.solutions():
            for isolation in options.isolations:
                act(language, isolation)
        return
    for language in options.languages or ["cpp", "java", "go"]:
        print(f"{language}: {languages.runtime(language)}")
        measure(language, options.copies, options.isolations)


if __name__ == "__main__":
    main()
