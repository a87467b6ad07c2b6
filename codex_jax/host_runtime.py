"""Settings of the host that suit XLA: its allocator, garbage collector, and libtpu."""

import contextlib
import ctypes
import gc
import glob
import os
import pathlib
import time
from collections.abc import Iterator, Sequence

_ACCELERATORS = ("/dev/accel*", "/dev/vfio/*", "/dev/nvidia*", "/dev/kfd")

_TPUS = ("/dev/accel*", "/dev/vfio/[0-9]*")
# What libtpu otherwise queries from the cloud's metadata server, and reports as an error block.
_NO_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5p-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
}

# glibc's malloc.h.
_M_ARENA_MAX, _M_MMAP_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -4, -3, -1
# One arena (the others map all above 64 MiB), nothing mapped, nothing returned.
_KEPT = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1))
# Blocks from the largest threshold on that glibc takes are mapped, and returned when freed.
_LARGE = 32 << 20
_RETURNED = ((_M_MMAP_THRESHOLD, _LARGE), (_M_MMAP_MAX, 1 << 16), (_M_TRIM_THRESHOLD, _LARGE))

# Limits of a container's memory, by version of control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

_starts: list[float] = []


def mark_start() -> None:
    """Marks the start of a command."""
    _starts[:] = [time.time()]


def take_start() -> float:
    """Returns when the command began, in Unix seconds; now, for what no command began."""
    return _starts.pop() if _starts else time.time()


def keep_freed_pages() -> bool:
    """Keeps freed pages in malloc if XLA computes on the CPU; returns whether it does.

    XLA allocates a program's temporaries at each call and frees them after it. By default glibc
    returns them to the kernel, which then zeroes every page again: 560,000 faults in a step of
    the 85M decoder. Call it before JAX makes its first array, because threads stay in their first
    arena. The process doesn't shrink until `limit_kept_pages`, so this is for programs that run one
    step over and over; and with one arena threads wait for each other, so it is not for hosts
    of accelerators. Other C libraries than glibc are left as they are.
    """
    on_cpu = os.environ.get("JAX_PLATFORMS") == "cpu" or not any(map(glob.glob, _ACCELERATORS))
    return on_cpu and _set_malloc(_KEPT)


def limit_kept_pages(most: int | None = None) -> bool:
    """Ends what `keep_freed_pages` began if the process has more than `most` bytes.

    Small blocks split the large ones that malloc keeps, so that the next step needs new ones:
    training SmolLM2, whose step needs 8 GB, grew to 24 GB. From this call on freed large blocks
    are returned to the kernel. That it zeroes their pages anew takes a tenth of the time of a step
    of the 85M decoder.

    Args:
      most: Resident bytes of a process that still keeps all its pages; half of the memory that it
        may use if None.

    Returns:
      Whether large blocks are returned.
    """
    statm = pathlib.Path("/proc/self/statm")  # absent where malloc isn't glibc's either
    pages = int(statm.read_text("ascii").split()[1]) if statm.exists() else 0
    limit = usable_memory() // 2 if most is None else most
    if pages * os.sysconf("SC_PAGE_SIZE") <= limit or not _set_malloc(_RETURNED):
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True


def usable_memory() -> int:
    """Returns the bytes of memory that a process may use: the host's, or its container's limit."""
    files = [path for path in map(pathlib.Path, _LIMITS) if path.exists()]
    limits = [path.read_text("ascii").strip() for path in files]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([memory, *(int(limit) for limit in limits if limit != "max")])


def _set_malloc(options: Sequence[tuple[int, int]]) -> bool:
    """Sets options of glibc's malloc; returns whether all are set, False for other libraries."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return False
    return sum(libc.mallopt(*option) for option in options) == len(options)


def quiet_libtpu() -> None:
    """Sets libtpu's environment where no TPU is; what is set already stays as it is.

    Where libtpu is installed, JAX loads it to look for TPUs, and without one it prints errors of
    its own. Call it before JAX is imported.
    """
    if not any(map(glob.glob, _TPUS)):
        for name, value in _NO_TPU.items():
            os.environ.setdefault(name, value)


@contextlib.contextmanager
def gc_disabled() -> Iterator[None]:
    """Disables garbage collection: traces make little garbage and many objects to scan.

    It took a tenth of the time to a first token.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
