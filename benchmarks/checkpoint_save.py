"""Measures how long a save in the background holds up a training loop, against a synchronous save.

python benchmarks/checkpoint_save.py [--megabytes 512] [--saves 5] [--folder FOLDER]

`save` blocks until it returns; the step after it, which changes all arrays in place, may be later
than usual, as checksums are computed and arrays are copied beside it.
"""

import argparse
import functools
import pathlib
import shutil
import statistics
import tempfile
import time

import jax
import jax.numpy as jnp

from codex_jax.checkpoint import Card, Checkpoints, Retention


def make_state(megabytes: int) -> tuple[dict, dict]:
    """Parameters of a third of that size, and two moments."""
    width, layers = 1024, max(1, megabytes // 12)  # 4 MiB a matrix, three of them a layer
    keys = jax.random.split(jax.random.key(0), 3)
    trees = [{"layers": jax.random.normal(key, (layers, width, width))} for key in keys]
    return trees[0], {"mu": trees[1], "nu": trees[2], "step": jnp.int32(0)}


@functools.partial(jax.jit, donate_argnums=0)
def _change(state: tuple[dict, dict]) -> tuple[dict, dict]:
    return jax.tree.map(lambda leaf: leaf + 1, state)


def time_step(state: tuple[dict, dict]) -> tuple[tuple[dict, dict], float]:
    """(state after a step, its seconds)."""
    start = time.perf_counter()
    after = jax.block_until_ready(_change(state))
    return after, time.perf_counter() - start


def main() -> None:
    """Saves several times, and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=512, help="size of the state")
    parser.add_argument("--saves", type=int, default=5, help="saves of each way")
    parser.add_argument("--folder", help="where to write (default: a temporary folder)")
    settings = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(dir=settings.folder))
    state = jax.block_until_ready(make_state(settings.megabytes))
    usual, blocked, late, complete = [], [], [], []
    for _ in range(settings.saves + 1):
        state, seconds = time_step(state)
        usual.append(seconds)
    try:
        with Checkpoints(folder, retention=Retention(keep_latest=1)) as checkpoints:
            for step in range(0, 2 * settings.saves + 2, 2):  # the first compiles the checksums
                start = time.perf_counter()
                checkpoints.save(step, *state, Card(model={}))
                blocked.append(time.perf_counter() - start)
                state, seconds = time_step(state)
                late.append(blocked[-1] + seconds - statistics.median(usual[1:]))
                checkpoints.finish()
                start = time.perf_counter()
                checkpoints.save(step + 1, *state, Card(model={}))
                checkpoints.finish()
                complete.append(time.perf_counter() - start)
    finally:
        shutil.rmtree(folder)
    total = statistics.median(complete[1:])
    print(f"a synchronous save of {settings.megabytes} MB takes {1000 * total:.0f} ms")
    for name, times in (("one in the background", blocked), ("with the step after it", late)):
        wait = statistics.median(times[1:])
        print(f"{name} {1000 * wait:.0f} ms: {wait / total:.1%} (medians of {settings.saves})")


if __name__ == "__main__":
    main()
