"""Measures how long a save in the background blocks a training loop, against a synchronous save.

python benchmarks/checkpoint_save.py [--megabytes 512] [--saves 5] [--folder FOLDER]
"""

import argparse
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


def main() -> None:
    """Saves several times both ways, and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=512, help="size of the state")
    parser.add_argument("--saves", type=int, default=5, help="saves of each way")
    parser.add_argument("--folder", help="where to write (default: a temporary folder)")
    settings = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(dir=settings.folder))
    params, rest = jax.block_until_ready(make_state(settings.megabytes))
    blocked, complete = [], []
    try:
        with Checkpoints(folder, retention=Retention(keep_latest=1)) as checkpoints:
            for step in range(settings.saves + 1):  # the first compiles the checksums
                start = time.perf_counter()
                checkpoints.save(step, params, rest, Card(model={}))
                blocked.append(time.perf_counter() - start)
                checkpoints.finish()
                complete.append(time.perf_counter() - start)
    finally:
        shutil.rmtree(folder)
    wait, total = statistics.median(blocked[1:]), statistics.median(complete[1:])
    print(
        f"a save of {settings.megabytes} MB blocks for {1000 * wait:.0f} ms, and is on disk after "
        f"{1000 * total:.0f} ms: {wait / total:.1%} (medians of {settings.saves})"
    )


if __name__ == "__main__":
    main()
