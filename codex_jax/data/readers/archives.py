"""Members of tar and zip archives, read in memory: nothing is ever unpacked onto the disk.

A path that escapes its archive is therefore harmless; it is refused and counted all the same.
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
from collections.abc import Generator, Iterator
from typing import BinaryIO, cast

from codex_jax.data.readers.licenses import is_license_file

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, zlib.error, lzma.LZMAError)
_MISLEADING = (NotImplementedError, RuntimeError, ValueError)  # encrypted, unknown method, header
_MOST_MEMBERS = 1_000_000
_LARGEST_DIRECTORY = 64_000_000  # bytes: zipfile reads a zip's entire list of members


@dataclasses.dataclass(frozen=True)
class Member:
    """A member's path and content, or the reason why it wasn't read."""

    path: str
    content: bytes = b""
    reason: str = ""


def read_archive(path: pathlib.Path, *, max_bytes: int, max_ratio: int = 200) -> Iterator[Member]:
    """Yields the archive's regular files in their order in it, of a zip's its licenses first.

    A member over `max_bytes` is passed over unread; an archive that would grow to over `max_ratio`
    times its own size (and over 100 MB) is a bomb, and left at that point.
    """
    budget = max(100_000_000, path.stat().st_size * max_ratio)
    read_members = _read_zip if path.name.lower().endswith((".zip", ".whl")) else _read_tar
    try:
        with (
            path.open("rb") as stream,
            contextlib.closing(read_members(stream, max_bytes, budget)) as members,
        ):
            for number, member in enumerate(members):
                if number >= _MOST_MEMBERS:
                    yield Member("", reason="archive bomb")
                    return
                yield Member(member.path, reason="escaping path") if _escapes(member) else member
    except _BROKEN + _MISLEADING:
        yield Member("", reason="broken archive")


def _escapes(member: Member) -> bool:
    path = pathlib.PurePosixPath(member.path.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts


def _read_tar(stream: BinaryIO, max_bytes: int, budget: int) -> Generator[Member]:
    bounded = cast(BinaryIO, _BoundedReader(_decompress(stream), max_bytes + (1 << 20)))
    with tarfile.open(fileobj=bounded, mode="r:") as archive:
        for info in archive:
            budget -= info.size  # before the next header is sought behind it
            if budget < 0:
                yield Member("", reason="archive bomb")
                return
            if info.isfile():
                yield _read_member(archive, info, max_bytes)


def _read_member(archive: tarfile.TarFile, info: tarfile.TarInfo, max_bytes: int) -> Member:
    if info.size > max_bytes:
        return Member(info.name, reason="too large")
    content = archive.extractfile(info)
    return Member(info.name, content.read() if content else b"")


def _decompress(stream: BinaryIO) -> BinaryIO:
    magic = stream.read(6)
    stream.seek(0)
    for mark, opener in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open)):
        if magic.startswith(mark):
            return cast(BinaryIO, opener(stream))
    return stream


class _BoundedReader:
    """A stream that refuses reads larger than any well-formed archive needs.

    The size in a header is untrusted.
    """

    def __init__(self, stream: BinaryIO, longest: int):
        self._stream = stream
        self._longest = longest
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._longest:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        return self._stream.read(size)


def _read_zip(stream: BinaryIO, max_bytes: int, budget: int) -> Generator[Member]:
    if _directory_bytes(stream) > _LARGEST_DIRECTORY:
        yield Member("", reason="archive bomb")
        return
    with zipfile.ZipFile(stream) as archive:
        infos = sorted(archive.infolist(), key=lambda info: not is_license_file(info.filename))
        for info in infos:  # a license before the files that it covers
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
    """Returns the size of a zip's list of members by the record at its end; 0 without one."""
    stream.seek(0, io.SEEK_END)
    stream.seek(max(0, stream.tell() - (1 << 17)))
    tail = stream.read()
    if (start := tail.rfind(b"PK\x06\x06")) >= 0 and start + 48 <= len(tail):
        return int.from_bytes(tail[start + 40 : start + 48], "little")
    start = tail.rfind(b"PK\x05\x06")
    return int.from_bytes(tail[start + 12 : start + 16], "little") if start >= 0 else 0
