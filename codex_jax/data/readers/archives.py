"""Members of tar and zip archives, read in memory: nothing is ever unpacked onto the disk.

So a path that escapes its archive has nowhere to go; it is refused and counted all the same.
"""

import bz2
import contextlib
import dataclasses
import gzip
import io
import lzma
import pathlib
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from codex_jax.data.readers.licenses import is_licence

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".whl", ".crate")
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, zlib.error, lzma.LZMAError)
_DECEIVED = (NotImplementedError, RuntimeError, ValueError)  # encrypted, unknown method, bad header
_MOST_MEMBERS = 1_000_000
_LARGEST_DIRECTORY = 64_000_000  # bytes: zipfile reads a zip's list of members whole


@dataclasses.dataclass(frozen=True)
class Member:
    """A member's path and content, or the reason why it wasn't read."""

    path: str
    content: bytes = b""
    reason: str = ""


def is_archive(path: str) -> bool:
    """Whether the name is an archive's."""
    return path.lower().endswith(SUFFIXES)


def read_archive(path: pathlib.Path, *, max_bytes: int, max_ratio: int = 200) -> Iterator[Member]:
    """The archive's regular files in their order in it, of a zip's its licences first.

    A member over `max_bytes` is passed over unread; an archive that would grow to over `max_ratio`
    times its own size (and over 100 MB) is a bomb, and left at that point.
    """
    budget = max(100_000_000, path.stat().st_size * max_ratio)
    members = _zip if path.name.lower().endswith((".zip", ".whl")) else _tar
    try:
        with (
            path.open("rb") as stream,
            contextlib.closing(members(stream, max_bytes, budget)) as found,
        ):
            for number, member in enumerate(found):
                if number >= _MOST_MEMBERS:
                    yield Member("", reason="archive bomb")
                    return
                yield Member(member.path, reason="escaping path") if _escapes(member) else member
    except _BROKEN + _DECEIVED:
        yield Member("", reason="broken archive")


def _escapes(member: Member) -> bool:
    path = pathlib.PurePosixPath(member.path.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts


def _tar(stream: BinaryIO, max_bytes: int, budget: int) -> Iterator[Member]:
    careful = _Careful(_decompressed(stream), max_bytes + (1 << 20))
    with tarfile.open(fileobj=careful, mode="r:") as archive:
        for info in archive:
            budget -= info.size  # before the next header is sought behind it
            if budget < 0:
                yield Member("", reason="archive bomb")
                return
            if info.isfile():
                yield _member(archive, info, max_bytes)


def _member(archive: tarfile.TarFile, info: tarfile.TarInfo, max_bytes: int) -> Member:
    if info.size > max_bytes:
        return Member(info.name, reason="too large")
    return Member(info.name, archive.extractfile(info).read())


def _decompressed(stream: BinaryIO) -> BinaryIO:
    magic = stream.read(6)
    stream.seek(0)
    for mark, opener in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open)):
        if magic.startswith(mark):
            return opener(stream)
    return stream


class _Careful:
    """A stream that refuses reads no honest archive asks for: a header's size is a stranger's."""

    def __init__(self, stream: BinaryIO, longest: int):
        self._stream = stream
        self._longest = longest
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._longest:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        return self._stream.read(size)


def _zip(stream: BinaryIO, max_bytes: int, budget: int) -> Iterator[Member]:
    if _directory_bytes(stream) > _LARGEST_DIRECTORY:
        yield Member("", reason="archive bomb")
        return
    with zipfile.ZipFile(stream) as archive:
        first = sorted(archive.infolist(), key=lambda info: not is_licence(info.filename))
        for info in first:  # a licence before what it is for
            if info.is_dir():
                continue
            if info.file_size > max_bytes:
                yield Member(info.filename, reason="too large")
                continue
            budget -= info.file_size
            if budget < 0:
                yield Member("", reason="archive bomb")
                return
            with archive.open(info) as member:
                yield Member(info.filename, member.read(max_bytes))


def _directory_bytes(stream: BinaryIO) -> int:
    """Size of a zip's list of members by the record at its end; 0 where that isn't found."""
    stream.seek(0, io.SEEK_END)
    stream.seek(max(0, stream.tell() - (1 << 17)))
    tail = stream.read()
    if (at := tail.rfind(b"PK\x06\x06")) >= 0 and at + 48 <= len(tail):
        return int.from_bytes(tail[at + 40 : at + 48], "little")
    at = tail.rfind(b"PK\x05\x06")
    return int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
