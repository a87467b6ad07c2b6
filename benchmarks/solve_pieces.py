r"""Measures how many small programs the sandbox runs a second of CPU, as `solve` runs its pieces.

    python benchmarks/solve_pieces.py --sandbox=bubblewrap

Every program is a distinct text in a process of its own, and is called on the values of all states
(--states times --probes texts); its outputs are decoded and digested. On a shared machine seconds
on the clock say little, so CPU seconds are printed too: of this process and of all in the sandbox.
"""

import argparse
import os
import random
import time

from codex_jax.curate import chains
from codex_jax.curate.blocks import STRINGS
from codex_jax.evaluate.sandbox.processes import tree_cpu_s
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner, RunnerSession
from codex_jax.solve.search import digest


def make_programs(count: int, rng: random.Random) -> list[str]:
    """Returns distinct solutions of chains of one to three blocks."""
    programs = []
    for number in range(count):
        chain = tuple(rng.sample(range(len(STRINGS.blocks)), 1 + number % 3))
        comment = f"    # {number}\n"
        programs.append(chains.prompt(chain) + comment + chains.solution(chain))
    return programs


def run_all(session: RunnerSession, programs: list[str], values: list[str]) -> int:
    """Runs the programs; returns the number that answered every call."""
    calls = [((value,), {}) for value in values]
    complete = 0
    for source in programs:
        run = session.run(source, STRINGS.entry_point, calls)
        complete += bool(digest([answer.value for answer in run.answers]))
        complete -= len(run.answers) < len(calls)
    return complete


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--states", type=int, default=1)
    parser.add_argument("--probes", type=int, default=16)
    options = parser.parse_args()
    rng = random.Random(0)
    programs = make_programs(options.programs, rng)
    values = [STRINGS.random_value(rng) for _ in range(options.states * options.probes)]
    runner = ProgramRunner(sandbox=options.sandbox)
    with runner.open() as session:
        run_all(session, programs[:1], values)  # a sandbox has started, and has tested itself
        started, started_cpu = time.perf_counter(), tree_cpu_s(os.getpid())
        complete = run_all(session, programs, values)
        seconds, spent = time.perf_counter() - started, tree_cpu_s(os.getpid()) - started_cpu
    print(
        f"{len(programs)} programs on {len(values)} inputs, {complete} answered all: "
        f"{len(programs) / spent:.0f} a CPU second, {len(programs) / seconds:.0f} a second"
    )


if __name__ == "__main__":
    main()
