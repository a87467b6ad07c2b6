"""States of processes and their threads, read from /proc, on the host and in a sandbox."""

import os


def is_asleep(pid, *, depth=0):
    """Whether nothing that a process has started runs, or waits for a core, a disk or a signal.

    Args:
      pid: the process.
      depth: of the processes that count, below `pid`; 0 counts itself.

    Returns:
      None where there is no /proc, or the process is not in it.
    """
    children = _children()
    if pid not in children:
        return None
    level = [pid]
    for _ in range(depth):
        level = [child for parent in level for child in children[parent]]
    awake = False
    while level:
        for process in level:
            # A process that waits for a child, as vfork does, is in the state of one that waits
            # for a disk.
            asleep = "SID" if children[process] else "SI"
            awake = awake or not set(_states(process)) <= set(asleep)
        level = [child for parent in level for child in children[parent]]
    return not awake


def _children():
    """Returns the children of all processes, by pid."""
    parents = {}
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return {}
    for pid in pids:
        fields = _stat(f"/proc/{pid}/stat")
        if fields:
            parents[pid] = int(fields[1])
    children = {pid: [] for pid in parents}
    for pid, parent in parents.items():
        if parent in children:
            children[parent].append(pid)
    return children


def _states(pid):
    """Returns the letters of the states of a process's threads."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    stats = [_stat(f"/proc/{pid}/task/{thread}/stat") for thread in threads]
    return [fields[0] for fields in stats if fields and fields[0] not in "ZX"]


def _stat(path):
    """Returns the fields behind the name in a stat file; empty where it is gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []
