"""Sdists and wheels, read in memory: their Python sources and their metadata. Nothing is run."""

import email.parser
import io
import lzma
import pathlib
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple, Self

from codex_jax import InputError
from codex_jax.curate.packages import licenses

SUFFIXES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_MAX_FILE = 1 << 20  # bytes of a source; longer ones are tables
_MAX_TOTAL = 64 << 20
_MAX_UNPACKED = 256 << 20
_MAX_MEMBERS = 20_000  # sources
_MAX_ENTRIES = 100_000  # of a tar archive, folders included
_METADATA = ("METADATA", "PKG-INFO")
_UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, RuntimeError, NotImplementedError),
)


class Archive(NamedTuple):
    """A package as its archive holds it."""

    name: str
    version: str
    license: str  # SPDX expression, "" if the metadata names none
    sources: dict[str, str]  # path within the archive → text
    requires: tuple[str, ...] = ()  # requirements, those of extras included
    pyproject: str = ""  # text of pyproject.toml


def list_archives(folder: pathlib.Path | str) -> list[pathlib.Path]:
    """Lists the archives in a folder, or the one file that is named.

    Raises:
      InputError: there are none.
    """
    folder = pathlib.Path(folder)
    paths = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    archives = [path for path in paths if path.name.endswith(SUFFIXES) and path.is_file()]
    if not archives:
        raise InputError(
            f"{folder}: no archives; expected sdists or wheels; set packages to a folder of them"
        )
    return archives


def read_archive(path: pathlib.Path) -> Archive:
    """Reads the sources of an sdist or wheel.

    Raises:
      ValueError: it is no archive, or is larger than a package of sources should be.
    """
    sources: dict[str, str] = {}
    metadata = pyproject = ""
    rank = 0
    try:
        for name, content in _members(path):
            if name.endswith(".py"):
                sources[name] = decode_source(content)
            elif name.endswith("pyproject.toml"):
                pyproject = pyproject or content.decode("utf-8", "replace")
            elif _metadata_rank(name, path) > rank:
                rank = _metadata_rank(name, path)
                metadata = content.decode("utf-8", "replace")
    except _UNREADABLE as error:
        raise ValueError(f"no readable archive: {error}") from None
    fields = email.parser.HeaderParser().parsestr(metadata)
    stem = _as_text(path.name).split("-")
    return Archive(
        str(fields.get("Name") or stem[0]),
        str(fields.get("Version") or (stem[1] if len(stem) > 1 else "")),
        licenses.spdx(fields),
        sources,
        tuple(map(str, fields.get_all("Requires-Dist") or [])),
        pyproject,
    )


def decode_source(content: bytes) -> str:
    """Returns the text of a source as Python reads it; "" for one that Python refuses."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
    except (SyntaxError, LookupError, ValueError):  # an unknown encoding, or another one
        return ""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _metadata_rank(name: str, path: pathlib.Path) -> int:
    """Returns how surely a file is the archive's own metadata: not at all is 0."""
    *folders, file = name.split("/")
    if path.name.endswith(".whl"):
        return 2 * (file == "METADATA" and len(folders) == 1 and folders[0].endswith(".dist-info"))
    is_at_top = file == "PKG-INFO" and len(folders) == 1
    return 2 if is_at_top else int(bool(folders) and folders[-1].endswith(".egg-info"))


def unpack(path: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpacks an archive into a folder; nothing lands outside it, and links stay within.

    Raises:
      ValueError: it is no archive, or larger than a package should be.
    """
    try:
        if path.name.endswith((".whl", ".zip")):
            with zipfile.ZipFile(path) as archive:
                _check_size(sum(info.file_size for info in archive.infolist()))
                archive.extractall(folder)  # drops ".." and absolute paths
            return
        with tarfile.open(path, tarinfo=_TarInfo) as archive:
            _check_size(sum(info.size for info in _entries(archive)))
            archive.extractall(folder, filter="data")
    except _UNREADABLE as error:
        raise ValueError(f"no readable archive: {error}") from None


def _check_size(total: int) -> None:
    if total > _MAX_UNPACKED:
        raise ValueError(f"more than {_MAX_UNPACKED >> 20} MiB unpacked")


def _members(path: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    """Yields the name and content of every source and metadata file, within limits."""
    reader = _zip_members if path.name.endswith((".whl", ".zip")) else _tar_members
    total = 0
    for number, (name, content) in enumerate(reader(path)):
        total += len(content)
        if number >= _MAX_MEMBERS or total > _MAX_TOTAL:
            raise ValueError(f"more than {_MAX_MEMBERS} files or {_MAX_TOTAL >> 20} MiB of sources")
        yield _as_text(name).removeprefix("./"), content


def _as_text(name: str) -> str:
    """Returns the name of a file with a "?" for each byte that is no UTF-8."""
    return name.encode(errors="replace").decode()


def _is_read(name: str, size: int) -> bool:
    is_project = name.count("/") == 1 and name.endswith("/pyproject.toml")
    is_metadata = is_project or name.rpartition("/")[2] in _METADATA
    return (name.endswith(".py") or is_metadata) and size <= _MAX_FILE


def _zip_members(path: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if _is_read(info.filename, info.file_size):
                with archive.open(info) as file:
                    yield info.filename, file.read(_MAX_FILE)


class _TarInfo(tarfile.TarInfo):
    """An entry of a tar archive, which is read into memory where it only describes the next."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Refuses a description of many megabytes."""
        info = super().frombuf(buf, encoding, errors)
        if not info.isreg() and info.size > _MAX_FILE:
            raise tarfile.ReadError(f"a header of {info.size} bytes")
        return info


def _entries(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yields the entries of an archive, which keeps them all."""
    size = 0
    for number, info in enumerate(archive):
        size += sum(map(len, [info.name, info.linkname, *info.pax_headers.values()]))
        if number >= _MAX_ENTRIES or size > _MAX_TOTAL:
            raise ValueError(f"more than {_MAX_ENTRIES} files and folders, or names of many bytes")
        yield info


def _tar_members(path: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, tarinfo=_TarInfo) as archive:
        for info in _entries(archive):
            if info.isfile() and _is_read(info.name, info.size):
                file = archive.extractfile(info)
                yield info.name, file.read(_MAX_FILE) if file else b""
