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
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from typing import BinaryIO, cast

from codex_jax.data.readers.license_files import is_license_file

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, zlib.error, lzma.LZMAError)
_MISLEADING = (NotImplementedError, RuntimeError, ValueError)  # unknown method, header
_MOST_MEMBERS = 1_000_000
_LARGEST_DIRECTORY = 64_000_000  # bytes: zipfile reads a zip's entire list of members
_SEARCHED_BLOCKS = 1 << 16  # of a tar, for the header after a broken one
_CHUNK = 1 << 20
_UNIX = 3  # a zip's number of the system whose file modes it holds
_ENCRYPTED = 1  # bit of a zip's flags


@dataclasses.dataclass(frozen=True)
class Member:
    """A member's path and content, or the reason why it wasn't read."""

    path: str
    content: bytes = b""
    reason: str = ""


def read_archive(
    stream: BinaryIO, name: str, *, max_bytes: int, max_ratio: int = 200
) -> Iterator[Member]:
    """Yields the archive's files in their order in it, of a zip its licenses first.

    A member over `max_bytes` is passed over unread, and so is one that is broken, encrypted, a link
    or no regular file; an archive that would grow to over `max_ratio` times its own size (and over
    100 MB) is a bomb, and left at that point.
    """
    budget = max(100_000_000, stream.seek(0, io.SEEK_END) * max_ratio)
    stream.seek(0)
    read_members = _read_zip if name.lower().endswith((".zip", ".whl")) else _read_tar
    try:
        with contextlib.closing(read_members(stream, max_bytes, budget)) as members:
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


class _Header(tarfile.TarInfo):
    """A header of a tar; behind a broken one, tarfile's end of the archive, it is the next."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_Header":
        """Reads the next header that is sound.

        Raises:
          tarfile.ReadError: the archive is cut, or there is none in reach.
        """
        stream = cast(_BoundedReader, archive.fileobj)
        for _ in range(_SEARCHED_BLOCKS if archive.offset else 1):
            try:
                return super().fromtarfile(archive)
            except tarfile.HeaderError:
                is_end = len(stream.last) == tarfile.BLOCKSIZE and not any(stream.last)
                if is_end or not archive.offset:
                    raise
                if len(stream.last) < tarfile.BLOCKSIZE:
                    raise tarfile.ReadError("cut before its end") from None
                cast(_Tar, archive).broken_headers += 1
        raise tarfile.ReadError("a long stretch without a header")


class _Tar(tarfile.TarFile):
    tarinfo = _Header
    broken_headers = 0  # met so far


def _read_tar(stream: BinaryIO, max_bytes: int, budget: int) -> Generator[Member]:
    bounded = cast(BinaryIO, _BoundedReader(_decompress(stream), max_bytes + _CHUNK))
    broken = 0
    with _Tar.open(fileobj=bounded, mode="r:") as archive:
        for info in archive:
            if archive.broken_headers > broken:
                broken = archive.broken_headers
                yield Member("", reason="broken member")
            budget -= info.size  # before the next header is sought behind it
            if budget < 0:
                yield Member("", reason="archive bomb")
                return
            if not info.isdir():
                yield _read_member(archive, info, max_bytes)
    for _ in range(0, budget, _CHUNK):  # a compressed stream's sum is at its end
        if not bounded.read(_CHUNK):
            break


def _read_member(archive: tarfile.TarFile, info: tarfile.TarInfo, max_bytes: int) -> Member:
    if info.issym() or info.islnk():
        return Member(info.name, reason="link")
    if not info.isfile():
        return Member(info.name, reason="no regular file")
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
    """A stream that refuses reads larger than any well-formed archive needs, and holds the last.

    The size in a header is untrusted.
    """

    def __init__(self, stream: BinaryIO, longest: int):
        self._stream = stream
        self._longest = longest
        self.last = b""  # read
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._longest:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        self.last = self._stream.read(size)
        return self.last


def _read_zip(stream: BinaryIO, max_bytes: int, budget: int) -> Generator[Member]:
    if _directory_bytes(stream) > _LARGEST_DIRECTORY:
        yield Member("", reason="archive bomb")
        return
    with zipfile.ZipFile(stream) as archive:
        infos = sorted(archive.infolist(), key=lambda info: not is_license_file(info.filename))
        for info in infos:  # a license before the files that it covers
            if info.is_dir():
                continue
            budget -= min(info.file_size, max_bytes)
            if budget < 0:
                yield Member("", reason="archive bomb")
                return
            yield _read_zip_member(archive, info, max_bytes)


def _read_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int) -> Member:
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    if stat.S_ISLNK(mode):
        return Member(info.filename, reason="link")
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        return Member(info.filename, reason="no regular file")
    if info.flag_bits & _ENCRYPTED:
        return Member(info.filename, reason="encrypted")
    if info.file_size > max_bytes:
        return Member(info.filename, reason="too large")
    try:
        with archive.open(info) as member:
            return Member(info.filename, member.read(max_bytes))
    except _BROKEN + _MISLEADING:
        return Member(info.filename, reason="broken member")


def _directory_bytes(stream: BinaryIO) -> int:
    """Returns the size of a zip's list of members by the record at its end; 0 without one."""
    stream.seek(0, io.SEEK_END)
    stream.seek(max(0, stream.tell() - (1 << 17)))
    tail = stream.read()
    if (start := tail.rfind(b"PK\x06\x06")) >= 0 and start + 48 <= len(tail):
        return int.from_bytes(tail[start + 40 : start + 48], "little")
    start = tail.rfind(b"PK\x05\x06")
    return int.from_bytes(tail[start + 12 : start + 16], "little") if start >= 0 else 0
