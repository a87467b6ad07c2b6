"""What the host's allocator should know of XLA on a CPU."""

import contextlib
import ctypes
import gc
import glob
import os
from collections.abc import Iterator

_ACCELERATORS = ("/dev/accel*", "/dev/vfio/*", "/dev/nvidia*", "/dev/kfd")

# glibc's malloc.h: one arena (the others map all above 64 MiB), nothing mapped, nothing returned.
_M_ARENA_MAX, _M_MMAP_MAX, _M_TRIM_THRESHOLD = -8, -4, -1


def keep_pages() -> bool:
    """Makes malloc keep what is freed, where XLA will compute on the CPU; whether it could.

    XLA allocates a program's temporaries at each call and frees them after it. By default glibc
    gives them back to the kernel, that then zeroes every page anew: 560,000 faults in each step
    of the 85M decoder. To be called before JAX has its first array, for threads keep the arena
    that they began with. The process never shrinks again, so this is for programs that run one
    step over and over; and with one arena threads wait for each other, so it is not for hosts
    of accelerators. Other C libraries than glibc are left as they are.
    """
    wanted = os.environ.get("JAX_PLATFORMS") == "cpu" or not any(map(glob.glob, _ACCELERATORS))
    libc = ctypes.CDLL(None)
    if not wanted or not hasattr(libc, "mallopt"):
        return False
    turned = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1))
    return sum(libc.mallopt(name, value) for name, value in turned) == len(turned)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is looked for within: traces make little, and many objects to look through.

    A tenth of the time to a first token went into that.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
