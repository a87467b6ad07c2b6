"""Start-up, frames and CPU clocks, for both fork servers."""

import json
import os
import sys
import time

from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.guest import confine

_READ_BYTES = 1 << 20


def open_protocol():
    """Returns the settings and the two pipes to the host, and hides all three from programs."""
    settings = json.loads(sys.argv[1])
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


def cpu_s(pid):
    """Returns the CPU seconds of a process, 0 if it is gone."""
    try:
        return time.clock_gettime((~pid) << 3 | 2)  # CPUCLOCK_SCHED of another process
    except OSError:
        return 0.0
