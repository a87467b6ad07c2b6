"""Files that are written whole or not at all, and JSON Lines whose torn last line is repaired."""

import contextlib
import os
import pathlib
import zlib
from collections.abc import Iterator


@contextlib.contextmanager
def atomic_path(path: pathlib.Path | str) -> Iterator[pathlib.Path]:
    """Yields a temporary path in the same folder, which replaces `path` if the block succeeds.

    The folder is created if need be. If the block raises, `path` is unchanged and the temporary
    file is removed.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name("partial-" + path.name)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def atomic_write(path: pathlib.Path | str, content: str | bytes) -> None:
    """Writes `content` (text as UTF-8) to `path` through a temporary file."""
    with atomic_path(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def repair_jsonl(path: pathlib.Path | str) -> int:
    """Removes an unfinished last line, as a killed process leaves it.

    Returns:
      The number of bytes removed; 0 for a complete or absent file.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return 0
    with path.open("rb+") as file:
        end = position = file.seek(0, os.SEEK_END)
        while position:
            start = max(0, position - (1 << 16))
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                start += newline + 1
                break
            position = start
        else:
            start = 0
        if start < end:
            file.truncate(start)
        return end - start


def repair_gzip(path: pathlib.Path | str) -> int:
    """Removes an unfinished last gzip member, as a killed process leaves it.

    Returns:
      The number of bytes removed; 0 for a complete or absent file.

    Raises:
      zlib.error: the file is not a sequence of gzip members.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return 0
    end = complete = 0
    member = zlib.decompressobj(wbits=31)
    with path.open("rb+") as file:
        while chunk := file.read(1 << 16):
            end += len(chunk)
            while chunk:
                member.decompress(chunk)
                chunk = member.unused_data
                if member.eof:
                    complete = end - len(chunk)
                    member = zlib.decompressobj(wbits=31)
        if complete < end:
            file.truncate(complete)
        return end - complete
