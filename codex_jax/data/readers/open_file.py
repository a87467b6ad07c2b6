"""Opening of a listed file: it may have vanished, grown or become a pipe since it was listed."""

import os
import pathlib
import stat
from typing import BinaryIO


def open_regular(path: pathlib.Path) -> BinaryIO:
    """Opens a file for reading, without waiting for a pipe's writer.

    Raises:
      OSError: it can't be read, or isn't a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(descriptor, "rb", buffering=1 << 16)


def read_head(path: pathlib.Path, size: int) -> bytes:
    """Reads at most `size` bytes of a regular file; none where it can't be read."""
    try:
        with open_regular(path) as stream:
            return stream.read(size)
    except OSError:
        return b""
