"""The seconds of each part of a batch of `codex-jax rl`, and the share of handing the weights over.

codex-jax rl ... --checkpoint_dir=RUN
python benchmarks/rl_times.py RUN
"""

import argparse
import json
import pathlib
import statistics

PARTS = ("sampling", "judging", "update", "hand_over")


def medians(path: pathlib.Path, skip: int) -> dict[str, float]:
    """Median seconds of a batch by part, without the first batches, which compile."""
    if not path.exists():
        raise SystemExit(f"{path}: no such file; expected the folder of a run of codex-jax rl")
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    batches = [line for line in lines if "seconds_sampling" in line][skip:]
    if not batches:
        raise SystemExit(f"{path}: {len(lines)} lines; expected more than {skip} batches")
    return {
        part: statistics.median(line[f"seconds_{part}"] for line in batches) for part in PARTS
    } | {"batches": len(batches)}


def main() -> None:
    """Prints a line for each part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path, help="folder with metrics.jsonl")
    parser.add_argument("--skip", type=int, default=1, help="first batches to leave out")
    settings = parser.parse_args()
    seconds = medians(settings.run / "metrics.jsonl", settings.skip)
    print(f"medians of {seconds.pop('batches'):.0f} batches")
    for part, value in seconds.items():
        share, batch = value / seconds["update"], value / sum(seconds.values())
        print(f"{part:10} {value:9.4f} s {share:9.2%} of the gradient step {batch:9.2%} of a batch")


if __name__ == "__main__":
    main()
