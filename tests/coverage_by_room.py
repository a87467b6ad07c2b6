"""Prints the coverage of every room after a test run, and fails where one is at or below 85 %."""

import collections
import pathlib
import sys

import coverage

LEAST = 85.0


def rooms(data: coverage.Coverage) -> dict[str, tuple[int, int]]:
    """Room -> (statements, statements run). A room is a package or a module under codex_jax."""
    root = pathlib.Path(__file__).parents[1] / "codex_jax"
    counts: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
    for path in sorted(root.rglob("*.py")):
        _, statements, _, missing, _ = data.analysis2(str(path))
        room = path.relative_to(root).parts[0].removesuffix(".py")
        counts[room][0] += len(statements)
        counts[room][1] += len(statements) - len(missing)
    return {room: (total, run) for room, (total, run) in counts.items() if total}


def main() -> int:
    data = coverage.Coverage()
    data.load()
    low = []
    for room, (total, run) in sorted(rooms(data).items()):
        percent = 100 * run / total
        low += [room] if percent <= LEAST else []
        print(f"{room:12} {percent:5.1f} %  of {total} statements")
    if low:
        print(f"coverage: {', '.join(low)} at or below {LEAST:.0f} %; add tests there")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
