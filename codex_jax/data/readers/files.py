"""Every file of a tree, containers opened: archives, notebooks, JSON Lines, Stack Exchange posts.

Whatever can't be read comes out as a File with a reason, so that nothing vanishes uncounted.
"""

import dataclasses
import gzip
import json
import pathlib
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast
from xml.etree import ElementTree

from codex_jax.data.corpus import JSONL, POSTS, Entry, SourceTree, is_archive, is_excluded
from codex_jax.data.documents import Pair
from codex_jax.data.languages import LANGUAGES, NOTEBOOK, detect, may_contain
from codex_jax.data.readers.archives import read_archive
from codex_jax.data.readers.licenses import identify, is_license_file
from codex_jax.data.readers.notebooks import NotANotebookError, read_notebook
from codex_jax.data.readers.stack_exchange import read_posts

_STACK_NAMES = {name.lower(): name for name in LANGUAGES} | {"c-sharp": "C#", "bash": "Shell"}


@dataclasses.dataclass(frozen=True)
class File:
    """A file's bytes; or the pairs of a container; or the reason why it wasn't read."""

    path: str
    content: bytes = b""
    language: str = "unknown"
    license: str = ""  # as its container declares it
    pairs: tuple[Pair, ...] = ()
    reason: str = ""


def read_files(tree: SourceTree, entries: Iterable[Entry]) -> Iterator[File]:
    """Yields the files of `entries`, as `list_files` lists them, containers opened."""
    for relative, size, _, reason in entries:
        path = pathlib.Path(tree.path, relative)
        if reason:
            yield _unread(relative, reason)
        elif is_archive(relative):
            yield from _read_members(tree, path, relative)
        elif relative.endswith(JSONL):
            yield from _read_records(tree, path, relative)
        elif path.name == POSTS:
            yield from _read_posts(tree, path, relative)
        elif size > tree.max_bytes:
            yield _unread(relative, "too large")
        else:
            yield from _read_file(tree, path, relative)


def _unread(name: str, reason: str) -> File:
    return File(name, language=detect(name) or "unknown", reason=reason)


def _read_file(tree: SourceTree, path: pathlib.Path, relative: str) -> Iterator[File]:
    try:
        content = path.read_bytes()
    except OSError:
        yield _unread(relative, "unreadable")
        return
    yield from _identify(tree, relative, content)


def _identify(tree: SourceTree, path: str, content: bytes) -> Iterator[File]:
    language = detect(path, content)
    if language == NOTEBOOK:
        yield _open_notebook(path, content)
    elif language and tree.accepts(language):
        yield File(path, content, language)


def _open_notebook(path: str, content: bytes) -> File:
    try:
        pairs = tuple(read_notebook(content))
    except NotANotebookError:
        return File(path, language=NOTEBOOK, reason="not a notebook")
    if not pairs:
        return File(path, language=NOTEBOOK, reason="empty")
    return File(path, language=pairs[0].language, pairs=pairs)


def _read_members(tree: SourceTree, path: pathlib.Path, relative: str) -> Iterator[File]:
    license = ""  # the archive's first license file holds for all of it
    for member in read_archive(path, max_bytes=tree.max_bytes):
        if not license and is_license_file(member.path):
            license = identify(member.content)
        name = f"{relative}/{member.path}" if member.path else relative
        if is_archive(member.path):
            yield File(name, reason="archive in an archive")
            continue
        if member.path and not may_contain(member.path, tree.languages, "notebooks" in tree.open):
            continue
        if is_excluded(tree, member.path):
            continue
        if member.reason:
            language = detect(member.path) or "unknown"
            yield File(name, language=language, reason=member.reason)
        else:
            for file in _identify(tree, name, member.content):
                yield dataclasses.replace(file, license=license)


def _read_records(tree: SourceTree, path: pathlib.Path, relative: str) -> Iterator[File]:
    longest = 2 * tree.max_bytes + 100_000  # escapes need space in JSON
    try:
        with _open_lines(path) as lines:
            number = 0
            while line := lines.readline(longest):
                number += 1
                name = f"{relative}:{number}"
                if not line.endswith(b"\n") and len(line) == longest:
                    _skip_line(lines, longest)
                    yield File(name, reason="too large")
                elif line.strip():
                    yield from _parse_record(tree, line, name)
    except (OSError, EOFError, zlib.error):
        yield File(relative, reason="unreadable")


def _open_lines(path: pathlib.Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb", buffering=1 << 20)


def _skip_line(lines: BinaryIO, longest: int) -> None:
    while (rest := lines.readline(longest)) and not rest.endswith(b"\n"):
        pass


def _parse_record(tree: SourceTree, line: bytes, name: str) -> Iterator[File]:
    """Reads a line that has The Stack's fields."""
    try:
        fields = json.loads(line)
        content = fields["content"].encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        yield File(name, reason="not a record")
        return
    path = str(fields.get("max_stars_repo_path") or fields.get("path") or "")
    label = str(fields.get("lang") or fields.get("language") or "").lower()
    language = _STACK_NAMES.get(label) or detect(path, content)
    if not language or not tree.accepts(language):
        return
    licenses = fields.get("max_stars_repo_licenses") or fields.get("licenses") or []
    license = " OR ".join(map(str, licenses)) if isinstance(licenses, list) else str(licenses)
    too_large = "too large" if len(content) > tree.max_bytes else ""
    yield File(f"{name}/{path}", content, language, license, reason=too_large)


def _read_posts(tree: SourceTree, path: pathlib.Path, relative: str) -> Iterator[File]:
    try:
        for name, pair in read_posts(path, longest=2 * tree.max_bytes + 100_000):
            yield File(f"{relative}#{name}", language=pair.language, pairs=(pair,))
    except (ElementTree.ParseError, OSError):
        yield File(relative, reason="broken XML")
