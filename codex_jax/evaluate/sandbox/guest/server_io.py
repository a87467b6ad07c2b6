"""Start-up, frames and CPU clocks, for both fork servers."""

import json
import os
import sys
import time

from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.guest import confine, process_states

_READ_BYTES = 1 << 20
_PROGRESS_SHARE = 0.005  # of a core: a program that gets less is asleep
_GVISOR_SHARE = 0.02  # likewise where a program that waits for a core seems to run
_MAX_WALL = 40  # times the CPU seconds: a program may get a fortieth of a core
_HOST_LOOK_S = 0.25


def open_protocol():
    """Returns the settings and the two pipes to the host, and hides all three from programs."""
    settings = json.loads(sys.argv[1])
    confine.clock_factor = _MAX_WALL if settings["host_clock"] else 1
    os.environ.clear()
    inbox, outbox = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):  # these the programs inherit
        os.dup2(null, descriptor)
    os.close(null)
    os.chdir("/tmp")
    confine.harden(settings["limits"], own_uid=settings["own_uid"], seccomp=settings["seccomp"])
    return settings, inbox, outbox


def read_exact(descriptor, count):
    """Reads `count` bytes; the end of the pipe ends this process, and all that it started."""
    parts = []
    while count:
        part = os.read(descriptor, min(count, _READ_BYTES))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def read_frame(descriptor):
    """Returns a message and its body; the end of the pipe ends this process."""
    head = read_exact(descriptor, protocol.FRAME_HEAD.size)
    message, size = protocol.FRAME_HEAD.unpack(head)
    return message, read_exact(descriptor, size)


def write_frame(descriptor, message, *parts):
    """Writes a message and its body."""
    write_all(descriptor, protocol.frame_head(message, *parts), *parts)


def write_all(descriptor, *parts):
    """Writes all parts, one after the other."""
    parts = list(map(memoryview, parts))
    while parts:
        count = os.writev(descriptor, parts)
        while parts and count >= len(parts[0]):
            count -= len(parts.pop(0))
        if count:
            parts[0] = parts[0][count:]


class Clock:
    """Says when a program's time is over; tells the host at every look that it still runs.

    CPU time decides. Wall time ends what is asleep: what makes no progress for twice the limit,
    whatever its share of a core; and what is slow even for a very busy machine. The host ends what
    sleeps and wakes again and again. In gVisor the CPU clock runs while a program waits for a
    core: there the host decides, by its own.
    """

    def __init__(self, server, limit_s):
        self.server, self.limit_s = server, limit_s
        self.start = self.progress_at = time.monotonic()
        self.due = self.start + limit_s
        self.progress_s = 0.0  # CPU time at the last progress

    def look(self, pid, *, is_awaiting_call=False):
        """Returns why the process must end, "cpu" or "wall"; empty if it may go on.

        Args:
          pid: the process; 0 before it is there.
          is_awaiting_call: whether it may be waiting for the host.
        """
        now, spent_s = time.monotonic(), cpu_s(pid) if pid else 0.0
        is_over, is_exact = spent_s >= self.limit_s, not self.server.settings["host_clock"]
        if is_over and is_exact:
            return "cpu"
        report = {
            "cpu_s": spent_s,
            "limit_s": self.limit_s,
            "asleep": process_states.is_asleep(pid),
        }
        write_frame(self.server.outbox, protocol.CLOCK, json.dumps(report).encode())
        share = _PROGRESS_SHARE if is_exact else _GVISOR_SHARE
        is_progress = spent_s - self.progress_s > share * (now - self.progress_at)
        if is_progress or is_awaiting_call:
            self.progress_s, self.progress_at = spent_s, now
        idle_s = now - self.progress_at
        if idle_s >= 2 * self.limit_s or now - self.start >= _MAX_WALL * self.limit_s:
            return "wall"
        # It has one core: its time isn't over any earlier.
        pause_s = (
            _HOST_LOOK_S if is_over else min(self.limit_s - spent_s, 2 * self.limit_s - idle_s)
        )
        self.due = now + max(0.02, pause_s)
        return ""


def cpu_s(pid):
    """Returns the CPU seconds of a process, 0 if it is gone."""
    try:
        return time.clock_gettime((~pid) << 3 | 2)  # CPUCLOCK_SCHED of another process
    except OSError:
        return 0.0
