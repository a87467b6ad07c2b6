"""CPU milliseconds a program in C++, Java and Go: our sandboxes beside a naive loop, in one run.

    python benchmarks/evaluate_languages.py --languages cpp java go

The naive loop is what harnesses do: write the file, run the compiler, run what it made, all
unprotected. Programs are our own solutions of MultiPL-E's problems, each made distinct --copies
times. What each language is made ready with, once a machine, is made before the clock starts; its
cost is printed. Needs ../shared/data and, for honest figures, root and cgroups.

    python benchmarks/evaluate_languages.py --known_good   # every language's recorded set
    python benchmarks/evaluate_languages.py --attacks      # none may pass, neighbours must; what
                                                           # lives on or was written is counted
"""

import argparse
import collections
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from benchmarks.evaluate_throughput import metered
from codex_jax import records
from codex_jax.evaluate.languages import registry
from tests.evaluate import attacks_languages, solutions
from tests.evaluate.processes import processes

_COUNTED = ("attacks", "forged", "survivors", "written", "harmed", "neighbours")
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
    """Runs them one after the other and counts those that end with status 0."""
    name, commands = _NAIVE[language]
    passed = 0
    for text in programs:
        (folder / name).write_text(text)
        passed += all(succeeds(command, folder) for command in commands)
    return passed


def succeeds(command: str, folder: pathlib.Path) -> bool:
    done = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, timeout=60, check=False
    )
    return done.returncode == 0


def measure(language: str, copies: int, sandboxes: list[str]) -> None:
    """Programs are distinct from harness to harness, or the second one would find them compiled."""
    pairs = solutions.known_good(language)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with metered() as cpu_s:
            before = cpu_s()
            passed(language, sandboxes[0], pairs[:1], folder / "ready")
            print(f"{language}: made ready, first program: {cpu_s() - before:.1f} CPU s")
        base = 0.0
        for harness in ["naive loop", *sandboxes, f"{sandboxes[-1]} again"]:
            sandbox, _, again = harness.partition(" ")
            if not again or not base:
                programs = distinct(language, pairs, copies)
            with metered() as cpu_s:
                start, before = time.perf_counter(), cpu_s()
                count = passed(language, sandbox, programs, folder / harness)
                cpu, wall = cpu_s() - before, time.perf_counter() - start
            base = base or cpu
            print(
                f"{language:8}{harness:20} {1000 * cpu / len(programs):8.1f} CPU ms a program, "
                f"{base / cpu:5.2f} x, {len(programs) / wall:5.1f} programs/s, "
                f"{count} of {len(programs)} passed (load {os.getloadavg()[0]:.1f})",
                flush=True,
            )


def distinct(language: str, pairs: list, copies: int) -> list:
    """Each so many times, with a comment seen nowhere before."""
    mark, now = _COMMENT.get(language, "//"), time.time_ns()
    return [(task, f"{body}{mark} {now}-{i}\n") for task, body in pairs for i in range(copies)]


def passed(language: str, harness: str, pairs: list, folder: pathlib.Path) -> int:
    """Counts those that pass; the naive loop has no sandbox."""
    folder.mkdir()
    if harness != "naive":
        rows = solutions.judged(folder, pairs, harness, workers=1)
        return sum(row.verdict == "passed" for row in rows)
    texts = [task.prompt + body + task.test for task, body in pairs]
    return naive(language, [t.replace("import org.javatuples.*;\n", "") for t in texts], folder)


def judge(pairs: list, sandbox: str, **settings) -> list[records.Verdict]:
    with tempfile.TemporaryDirectory() as name:
        return solutions.judged(pathlib.Path(name), pairs, sandbox, **settings)


def known_good(language: str, sandbox: str) -> None:
    rows = judge(solutions.known_good(language), sandbox)
    passed = sum(row.verdict == "passed" for row in rows)
    print(f"{language:12}{sandbox:12}{passed} of {len(rows)} passed", flush=True)
    for row in rows:
        if row.verdict != "passed":
            print(f"  {row.task_id}: {row.cause}: {row.detail}")


def attack(language: str, sandbox: str) -> collections.Counter:
    """Judges attacks and honest programs in alternation; counts what came of it."""
    task = solutions.problems(language)[53]
    attacks = attacks_languages.ATTACKS.get(language, [])
    honest = solutions.solutions()[language][53]
    pairs = []
    for blank_lines, (_, source, _) in enumerate(attacks):
        pairs += [(task, f"    {source}\n"), (task, honest + "\n" * blank_lines)]
    before = written()
    rows = judge(pairs, sandbox, timeout_s=1.0, memory_mb=256) if pairs else []
    left, new = survivors(), sorted(written() - before)
    harmed = [row for row in rows[1::2] if row.cause != "passed"]
    forged = [row for row in rows[::2] if row.cause == "passed"]
    numbers = (len(attacks), forged, left, new, harmed, len(rows) // 2)
    count = dict(zip(_COUNTED, (n if type(n) is int else len(n) for n in numbers), strict=True))
    cells = "".join(f"{number:12}" for number in count.values())
    print(f"{language:12}{sandbox:12}{cells}", flush=True)
    for (title, _, causes), row in zip(attacks, rows[::2], strict=True):
        if row.cause not in causes:
            print(f"  {title}: {row.cause}: {row.detail}")
    for row in harmed:
        print(f"  neighbour: {row.cause}: {row.detail}")
    for trace in (*left, *new):
        print(f"  left behind: {trace}")
    return collections.Counter(count)


def written() -> set[str]:
    """Lists files where programs may try to leave some.

    In the system's folders that is any file; in folders that others write to, those that belong to
    users without a name, as whom programs run.
    """
    paths = set()
    for folder in ("/", "/usr", "/usr/bin", "/etc", "/root", "/home", "/dev", "/kit"):
        with contextlib.suppress(OSError):
            paths |= {entry.path for entry in os.scandir(folder)}
    for folder in {"/tmp", "/var/tmp", "/dev/shm", tempfile.gettempdir()}:
        for path in pathlib.Path(folder).glob("*"):
            with contextlib.suppress(OSError):
                if path.lstat().st_uid >= 20_000 or "codex-jax-was-here" in path.name:
                    paths.add(str(path))
    return paths


def survivors() -> list[str]:
    """Lists children of this process, or orphans, that attacks started, after a moment to end."""
    deadline = time.monotonic() + 15
    while True:
        parents, commands = {os.getpid(), 1}, []
        for process in processes():
            named = ("codex_jax.evaluate", "codex-jax-sandbox", "31556952", "/tmp/program")
            if process.parent in parents and any(name in process.command for name in named):
                parents.add(process.pid)
                commands.append(process.command[:100])
        if not commands or time.monotonic() > deadline:
            return commands
        time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--languages", nargs="+", default=[])
    parser.add_argument("--attacks", action="store_true")
    parser.add_argument("--known_good", action="store_true")
    parser.add_argument("--copies", type=int, default=2)
    parser.add_argument("--sandboxes", nargs="+", default=["bubblewrap", "gvisor"])
    options = parser.parse_args()
    if options.attacks or options.known_good:
        if options.attacks:
            print(" " * 24 + "".join(f"{name:>12}" for name in _COUNTED))
        total: collections.Counter = collections.Counter()
        for language in options.languages or solutions.solutions():
            for sandbox in options.sandboxes:
                if options.known_good:
                    known_good(language, sandbox)
                else:
                    total.update(attack(language, sandbox))
        print(dict(total) or "")
        return
    for language in options.languages or ["cpp", "java", "go"]:
        print(f"{language}: {registry.tool_version(language)}")
        measure(language, options.copies, options.sandboxes)


if __name__ == "__main__":
    main()
