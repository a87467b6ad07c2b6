"""Many ill-behaved programs in one run, and the evaluator killed at random moments.

    python benchmarks/evaluate_endurance.py --programs 20000 --kills 3

Of the programs a fifth leave daemons, a fifth files, a fifth go by os._exit, one in fifty answers
with more than fits, and the others are honest. Each verdict must be there once and be right, and
at the end no process, zombie, file, mount or cgroup be left. Exits 1 where that isn't so.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from codex_jax import records

_PROGRAMS = {
    "passed": "    return n + {0}\n",
    "wrong_answer": "    import os\n    if os.fork() == 0:\n        os.setsid()\n"
    "        while True: pass\n    return -{0}\n",
    "exception": "    for i in range(9): open('/tmp/%d' % i, 'w').write('x' * 9999)\n"
    "    raise ValueError({0})\n",
    "exited_early": "    import os\n    os._exit({0} % 99)\n",
    "output_limit": "    return '{0}' * (9 << 20)\n",
}
_SCRIPT = (
    "import json, sys; from codex_jax.evaluate.evaluate import evaluate; "
    "evaluate(**json.loads(sys.argv[1]))"
)


def write(folder: pathlib.Path, programs: int) -> dict[str, str]:
    """Problems and samples as files, a problem a number; each sample's right cause."""
    tasks, samples, right = [], [], {}
    for i in range(programs):
        cause = list(_PROGRAMS)[i % len(_PROGRAMS)]
        cause = "passed" if cause == "output_limit" and i % 50 != 4 else cause
        task = f"t/{i % 200}"
        test = f"def check(c):\n    for n in range(3): assert c(n) == n + {i % 200}\n"
        reference = f"    return n + {i % 200}\n"
        if i < 200:
            fields = {"task_id": task, "prompt": "def f(n):\n", "entry_point": "f", "test": test}
            tasks.append(records.Problem(**fields, canonical_solution=reference))
        body = _PROGRAMS[cause].format(i % 200 if cause == "passed" else i) + f"N = {i}\n"
        samples.append(records.Completion(task_id=task, completion=body, sample_index=i // 200))
        right[task, i // 200] = cause
    records.write_jsonl(folder / "problems.jsonl", tasks)
    records.write_jsonl(folder / "completions.jsonl", samples)
    return right


def tree(root: int) -> dict[int, int]:
    """Maps the pid of a process, and of all below it, to its peak resident bytes."""
    parents, resident = {}, {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    for pid in parents:
        up = pid
        while up not in (0, 1, root):
            up = parents.get(up, 0)
        if up == root:
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                resident[pid] = int(status.partition("VmHWM:")[2].split()[0]) << 10
            except (OSError, IndexError, ValueError):
                continue
    return resident


def count_traces(scratch: pathlib.Path) -> dict[str, int]:
    """Counts each resource that a run may not leave more of."""
    remaining = zombies = 0
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            environment = (path / "environ").read_bytes()
        except OSError:
            continue
        remaining += str(scratch).encode() in environment + command or b'"own_uid"' in command
        zombies += state == "Z"
    cgroups = sum(1 for path in pathlib.Path("/sys/fs/cgroup").rglob("codex-jax-sandbox*"))
    mounts = pathlib.Path("/proc/mounts").read_text().count("codex-jax")
    files = sum(1 for _ in scratch.iterdir())
    names = ("processes", "zombies", "cgroups", "mounts", "files")
    return dict(zip(names, (remaining, zombies, cgroups, mounts, files), strict=True))


def run(arguments: dict, scratch: pathlib.Path, kill_after_s: float | None) -> int:
    """Runs an evaluator to its end, or its death; returns the largest process's resident bytes."""
    root = str(pathlib.Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "TMPDIR": str(scratch)}
    command = [sys.executable, "-c", _SCRIPT, json.dumps(arguments)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    start, most = time.monotonic(), 0
    while process.poll() is None:
        most = max([most, *tree(process.pid).values()])
        time.sleep(0.5)
        if kill_after_s is not None and time.monotonic() - start > kill_after_s:
            process.send_signal(signal.SIGKILL)
            process.wait()
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--sandbox", default="bubblewrap")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="codex-jax-endurance-") as name:
        folder = pathlib.Path(name)
        scratch = folder / "scratch"
        scratch.mkdir()
        for path in (folder, scratch):
            path.chmod(0o755)
        right = write(folder, options.programs)
        arguments = {
            "problems": str(folder / "problems.jsonl"),
            "completions": str(folder / "completions.jsonl"),
            "output": str(folder / "out"),
            "sandbox": options.sandbox,
        }
        before, start = count_traces(scratch), time.monotonic()
        for _ in range(options.kills):
            after_s = random.uniform(1, 30)
            run(arguments, scratch, after_s)
            path = folder / "out" / "verdicts.jsonl"
            lines = path.read_bytes().count(b"\n") if path.exists() else 0
            print(f"killed after {after_s:.1f} s: {lines} verdicts are written", flush=True)
        most = run(arguments, scratch, None)
        wall = time.monotonic() - start
        left = new_traces(before, scratch)
        rows = list(records.read_jsonl(folder / "out" / "verdicts.jsonl", records.Verdict))
    causes = {(row.task_id, row.sample_index): row.cause for row in rows}
    wrong = {
        key: (causes.get(key), cause) for key, cause in right.items() if causes.get(key) != cause
    }
    print(
        f"{len(rows)} verdicts, {len(rows) - len(causes)} doubled, {wall:.0f} s, "
        f"{most >> 20} MiB in the largest process; {dict(collections.Counter(causes.values()))}"
    )
    print(f"not as they must be: {len(wrong)} {list(wrong.items())[:5]}; left behind: {left}")
    sys.exit(bool(wrong or left or len(rows) != len(right)))


def new_traces(before: dict[str, int], scratch: pathlib.Path) -> dict[str, int]:
    """Returns the traces that were not there before, after a moment for killed runs to end."""
    deadline = time.monotonic() + 30
    while True:
        left = {k: n for k, n in count_traces(scratch).items() if n > before[k]}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(1)


if __name__ == "__main__":
    main()
