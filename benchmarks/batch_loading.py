"""Measures tokens per second that one process reads from packed rows in training's order.

python benchmarks/batch_loading.py ROWS [--batch_size 32] [--workers 2] [--seconds 10]
"""

import argparse
import time

from codex_jax.data.packing.batches import BatchReader


def main() -> None:
    """Reads batches for some seconds, after a warm-up of eight."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0)
    settings = parser.parse_args()
    reader = BatchReader(settings.rows, batch_size=settings.batch_size, seed=0)
    batches = reader.batches(workers=settings.workers)
    for _ in range(8):
        next(batches)
    tokens, start = 0, time.monotonic()
    while (seconds := time.monotonic() - start) < settings.seconds:
        tokens += next(batches).tokens.size
    print(
        f"{tokens / seconds / 1e6:.2f} M tokens/s: rows of {reader.sequence_length} at random "
        f"among {reader.row_count:,}, {settings.batch_size} a batch, {settings.workers} workers"
    )


if __name__ == "__main__":
    main()
