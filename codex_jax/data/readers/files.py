"""Every file of a tree, containers opened: archives, notebooks, JSON Lines, Stack Exchange posts.

Whatever can't be read comes out as a File with a reason, so that nothing vanishes uncounted.
"""

import dataclasses
import os
import pathlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from codex_jax.data.corpus import JSONL, POSTS, Entry, SourceTree, is_archive, is_excluded
from codex_jax.data.documents import Pair
from codex_jax.data.languages import NOTEBOOK, detect, may_contain, possible_languages
from codex_jax.data.readers.archives import Member, read_archive
from codex_jax.data.readers.json_lines import read_rows
from codex_jax.data.readers.license_files import is_license_file, read_license
from codex_jax.data.readers.notebooks import NotANotebookError, read_notebook
from codex_jax.data.readers.open_file import open_regular
from codex_jax.data.readers.stack_exchange import read_posts
from codex_jax.data.skipped_folders import skipped_folder_of

_HEAD = 256  # bytes that hold a shebang
_SKIPPED = "skipped folder"


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
    for entry in entries:
        if entry.reason:
            yield _unread(entry.path, entry.reason)
        else:
            yield from _read_entry(tree, entry)


def _read_entry(tree: SourceTree, entry: Entry) -> Iterator[File]:
    """Reads a file as far as it was listed; one that has another size by then isn't taken."""
    read = _reader_of(entry.path)
    if read is _read_file and entry.size > tree.max_bytes and detect(entry.path):
        yield _unread(entry.path, "too large")
        return
    try:
        with open_regular(pathlib.Path(tree.path, entry.path)) as stream:
            yield from read(tree, stream, entry)
            has_changed = os.fstat(stream.fileno()).st_size != entry.size
    except (OSError, EOFError, zlib.error):
        yield _unread(entry.path, "unreadable")
        return
    if has_changed and read is not _read_file:
        yield _unread(entry.path, "changed while read")


def _reader_of(path: str) -> Callable[[SourceTree, BinaryIO, Entry], Iterator[File]]:
    if is_archive(path):
        return _read_members
    if path.endswith(JSONL):
        return _read_records
    return _read_posts if pathlib.PurePosixPath(path).name == POSTS else _read_file


def _unread(name: str, reason: str) -> File:
    return File(name, language=detect(name) or "unknown", reason=reason)


def _read_file(tree: SourceTree, stream: BinaryIO, entry: Entry) -> Iterator[File]:
    head = stream.read(_HEAD)
    if not (possible_languages(entry.path) or detect(entry.path, head)):
        return
    if entry.size > tree.max_bytes:
        yield _unread(entry.path, "too large")
        return
    content = head + stream.read(max(0, entry.size + 1 - len(head)))
    if len(content) == entry.size:
        yield from _identify(tree, entry.path, content)
    else:
        yield _unread(entry.path, "changed while read")


def _identify(
    tree: SourceTree, path: str, content: bytes, language: str | None = None
) -> Iterator[File]:
    """Yields the file, its pairs if it is a notebook, or nothing if it isn't to be taken."""
    language = language or detect(path, content)
    if language == NOTEBOOK and "notebooks" in tree.open:
        yield from _open_notebook(tree, path, content)
    elif language and language != NOTEBOOK and tree.accepts(language):
        yield File(path, content, language)


def _open_notebook(tree: SourceTree, path: str, content: bytes) -> Iterator[File]:
    try:
        pairs = read_notebook(content)
    except NotANotebookError as error:
        yield File(path, language=NOTEBOOK, reason=str(error))
        return
    if not pairs:
        yield File(path, language=NOTEBOOK, reason="empty")
    for number, language in enumerate(dict.fromkeys(pair.language for pair in pairs)):
        if tree.accepts(language):
            same = tuple(pair for pair in pairs if pair.language == language)
            yield File(f"{path}#{language}" if number else path, language=language, pairs=same)


def _read_members(tree: SourceTree, stream: BinaryIO, entry: Entry) -> Iterator[File]:
    license = ""  # the archive's first manifest or license text holds for all of it
    for member in _select_members(tree, stream, entry):
        name = f"{entry.path}/{member.path}" if member.path else entry.path
        if not license and is_license_file(member.path):
            license = read_license(member.path, member.content)
        if is_archive(member.path):
            yield File(name, reason="archive in an archive")
        elif not member.path or member.reason == _SKIPPED:
            yield _unread(name, member.reason)
        elif may_contain(member.path, tree.languages, "notebooks" in tree.open):
            if not member.reason:
                for file in _identify(tree, name, member.content):
                    yield dataclasses.replace(file, license=license)
            elif detect(member.path):
                yield _unread(name, member.reason)


def _select_members(tree: SourceTree, stream: BinaryIO, entry: Entry) -> Iterator[Member]:
    """Yields the members that aren't excluded, and each folder that is left out once."""
    skipped: set[str] = set()
    for member in read_archive(stream, entry.path, max_bytes=tree.max_bytes):
        if is_excluded(tree, member.path):
            continue
        folder = skipped_folder_of(member.path, tree.skip_folders)
        if not folder:
            yield member
        elif folder not in skipped and not folder.endswith("__pycache__"):
            yield Member(folder, reason=_SKIPPED)
        skipped.add(folder)


def _read_records(tree: SourceTree, stream: BinaryIO, entry: Entry) -> Iterator[File]:
    for row in read_rows(stream, tree.max_bytes):
        name = f"{entry.path}:{row.name}"
        language = row.language or detect(row.path, row.content)
        if row.reason or not language:
            yield File(
                name, language=language or "unknown", reason=row.reason or "unknown language"
            )
            continue
        for file in _identify(tree, name, row.content, language):
            yield dataclasses.replace(file, license=row.license)


def _read_posts(tree: SourceTree, stream: BinaryIO, entry: Entry) -> Iterator[File]:
    for post in read_posts(stream, longest=2 * tree.max_bytes + 100_000):
        path = f"{entry.path}#{post.name}"
        if post.pair is None:
            yield File(path, reason=post.reason)
        elif tree.accepts(post.pair.language):
            yield File(path, language=post.pair.language, pairs=(post.pair,))
