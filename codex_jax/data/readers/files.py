"""Every file of a tree, containers opened: archives, notebooks, JSON Lines, Stack Exchange posts.

Whatever can't be read comes out as a File with a reason, so that nothing vanishes uncounted.
"""

import dataclasses
import functools
import gzip
import json
import pathlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any
from xml.etree import ElementTree

from codex_jax.data.corpus import JSONL, POSTS, Entry, Tree, excluded
from codex_jax.data.examples.pairs import Pair
from codex_jax.data.languages import LANGUAGES, NOTEBOOK, detect, wanted
from codex_jax.data.readers.archives import is_archive, read_archive
from codex_jax.data.readers.licenses import identify, is_licence
from codex_jax.data.readers.notebooks import NotANotebookError, read_notebook
from codex_jax.data.readers.stack_exchange import read_posts

_STACK_NAMES = {name.lower(): name for name in LANGUAGES} | {"c-sharp": "C#", "bash": "Shell"}


@dataclasses.dataclass(frozen=True)
class File:
    """A file's bytes; or the pairs of a container; or the reason why it wasn't read."""

    path: str
    content: bytes = b""
    language: str = "unknown"
    licence: str = ""  # as its container declares it
    pairs: tuple[Pair, ...] = ()
    reason: str = ""


def read_files(tree: Tree, entries: Iterable[Entry]) -> Iterator[File]:
    """The files of `entries`, as `list_files` lists them, containers opened."""
    for relative, size, _, reason in entries:
        path = pathlib.Path(tree.path, relative)
        if reason:
            yield File(relative, language=detect(relative) or "unknown", reason=reason)
        elif is_archive(relative):
            yield from _members(tree, path, relative)
        elif relative.endswith(JSONL):
            yield from _records(tree, path, relative)
        elif path.name == POSTS:
            yield from _posts(tree, path, relative)
        elif size > tree.max_bytes:
            yield File(relative, language=detect(relative) or "unknown", reason="too large")
        else:
            yield from _plain(tree, path, relative)


def _plain(tree: Tree, path: pathlib.Path, relative: str) -> Iterator[File]:
    try:
        content = path.read_bytes()
    except OSError:
        yield File(relative, language=detect(relative) or "unknown", reason="unreadable")
        return
    yield from _identified(tree, relative, content)


def _identified(tree: Tree, path: str, content: bytes) -> Iterator[File]:
    language = detect(path, content)
    if language == NOTEBOOK:
        yield _notebook(path, content)
    elif language and tree.wants(language):
        yield File(path, content, language)


def _notebook(path: str, content: bytes) -> File:
    try:
        pairs = tuple(read_notebook(content))
    except NotANotebookError:
        return File(path, language=NOTEBOOK, reason="not a notebook")
    if not pairs:
        return File(path, language=NOTEBOOK, reason="empty")
    return File(path, language=pairs[0].language, pairs=pairs)


def _members(tree: Tree, path: pathlib.Path, relative: str) -> Iterator[File]:
    licence = ""  # the first that is met is taken for the whole archive's
    for member in read_archive(path, max_bytes=tree.max_bytes):
        if not licence and is_licence(member.path):
            licence = identify(member.content)
        name = f"{relative}/{member.path}" if member.path else relative
        if is_archive(member.path):
            yield File(name, reason="archive in an archive")
            continue
        if member.path and not wanted(member.path, tree.languages, "notebooks" in tree.containers):
            continue
        if excluded(tree, member.path):
            continue
        if member.reason:
            yield File(name, language=detect(member.path) or "unknown", reason=member.reason)
        else:
            for file in _identified(tree, name, member.content):
                yield dataclasses.replace(file, licence=licence)


def _records(tree: Tree, path: pathlib.Path, relative: str) -> Iterator[File]:
    opener = gzip.open if path.suffix == ".gz" else functools.partial(open, buffering=1 << 20)
    longest = 2 * tree.max_bytes + 100_000  # escapes take room in JSON
    try:
        with opener(path, "rb") as lines:
            number = 0
            while line := lines.readline(longest):
                number += 1
                where = f"{relative}:{number}"
                if not line.endswith(b"\n") and len(line) == longest:
                    _skip_line(lines, longest)
                    yield File(where, reason="too large")
                elif line.strip():
                    yield from _record(tree, line, where)
    except (OSError, EOFError, zlib.error):
        yield File(relative, reason="unreadable")


def _skip_line(lines: Any, longest: int) -> None:
    while (rest := lines.readline(longest)) and not rest.endswith(b"\n"):
        pass


def _record(tree: Tree, line: bytes, where: str) -> Iterator[File]:
    """One line in The Stack's fields."""
    try:
        fields = json.loads(line)
        content = fields["content"].encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        yield File(where, reason="not a record")
        return
    path = str(fields.get("max_stars_repo_path") or fields.get("path") or "")
    named = str(fields.get("lang") or fields.get("language") or "").lower()
    language = _STACK_NAMES.get(named) or detect(path, content)
    if not language or not tree.wants(language):
        return
    licences = fields.get("max_stars_repo_licenses") or fields.get("licenses") or []
    licence = " OR ".join(map(str, licences)) if isinstance(licences, list) else str(licences)
    too_large = "too large" if len(content) > tree.max_bytes else ""
    yield File(f"{where}/{path}", content, language, licence, reason=too_large)


def _posts(tree: Tree, path: pathlib.Path, relative: str) -> Iterator[File]:
    try:
        for name, pair in read_posts(path, longest=2 * tree.max_bytes + 100_000):
            yield File(f"{relative}#{name}", language=pair.language, pairs=(pair,))
    except (ElementTree.ParseError, OSError):
        yield File(relative, reason="broken XML")
