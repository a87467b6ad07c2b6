"""What both fork servers do alike: come up, read frames, watch a child's clock, tidy up."""

import json
import os
import struct
import sys
import time

from codex_jax.evaluate.sandbox.guest import confine  # handed over beside this text

_FOLDERS = ("/tmp", "/dev/shm")  # all that programs can write to


def entrance():
    """The settings and the two protocol pipes, once nothing of them is left for programs."""
    settings = json.loads(sys.argv[1])
    os.environ.clear()
    inbox, outbox = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):  # these the programs inherit
        os.dup2(null, descriptor)
    os.close(null)
    os.chdir("/tmp")
    confine.settle(settings["limits"], own_uid=settings["own_uid"], seccomp=settings["seccomp"])
    return settings, inbox, outbox


def exactly(descriptor, count):
    """So many bytes; the end of the pipe is the end of this process, children and all."""
    parts = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def frame(descriptor, operation, *parts):
    """Writes an operation, a length and a body."""
    send(descriptor, operation + struct.pack(">I", sum(map(len, parts))), *parts)


def send(descriptor, *parts):
    """Writes all of them."""
    parts = list(map(memoryview, parts))
    while parts:
        sent = os.writev(descriptor, parts)
        while parts and sent >= len(parts[0]):
            sent -= len(parts.pop(0))
        if sent:
            parts[0] = parts[0][sent:]


def cpu_s(pid):
    """CPU seconds of a process that may be gone."""
    try:
        return time.clock_gettime((~pid) << 3 | 2)  # CPUCLOCK_SCHED of another process
    except OSError:
        return 0.0


def traces():
    """What changes when something is left in a folder: its mode and owner, the count of files."""
    found = []
    for folder in _FOLDERS:
        try:
            status, system = os.stat(folder), os.statvfs(folder)
        except OSError:
            continue
        found.append((status.st_mode, status.st_uid, system.f_files - system.f_ffree))
    return found


def tidied():
    """Empties what programs may write to of plain files; False where anything else is left."""
    for folder in _FOLDERS:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        return False
                    os.unlink(entry.path)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True
