"""CPU time of a process and all that it has started, read from /proc."""

import collections
import contextlib
import os
import pathlib


def tree_cpu_s(pid: int) -> float:
    """Returns the CPU seconds of a process and its descendants, those that have ended included."""
    ticks: dict[int, int] = {}
    children: dict[int, list[int]] = collections.defaultdict(list)
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            children[int(fields[1])].append(int(path.name))
            ticks[int(path.name)] = sum(map(int, fields[11:15]))
    total, waiting = 0, [pid]
    while waiting:
        process = waiting.pop()
        total += ticks.get(process, 0)
        waiting += children[process]
    return total / os.sysconf("SC_CLK_TCK")
