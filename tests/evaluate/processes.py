"""The machine's processes, read from /proc: a bare machine has no ps."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import NamedTuple


class Process(NamedTuple):
    pid: int
    parent: int
    command: str


def processes() -> Iterator[Process]:
    """Those alive now, by pid."""
    for pid in sorted(int(path.name) for path in pathlib.Path("/proc").glob("[0-9]*")):
        folder = pathlib.Path("/proc", str(pid))
        with contextlib.suppress(OSError):  # it ended meanwhile
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            )
            yield Process(pid, parent, command)
