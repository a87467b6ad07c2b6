"""Directory trees of source code as documents, in one order, each dropped file with its reason."""

import collections
import dataclasses
import fnmatch
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from codex_jax import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tree:
    """A directory of source files and how much of it to take.

    `weight` is how often each document occurs in the corpus; a fraction takes that share of them,
    chosen by a hash of their path. Globs match the path below `path`, `*` also across "/".
    """

    path: str
    weight: float = 1.0
    suffixes: Sequence[str] = (".py",)
    exclude: Sequence[str] = ()
    max_bytes: int = 1_000_000  # the Codex paper's limit, section 3.1


@dataclasses.dataclass(frozen=True)
class Document:
    """One text: `path` is relative to its tree, with "/"."""

    path: str
    text: str


Corpus = Mapping[str, Tree | str | pathlib.Path | Sequence[Any]]


def read_corpus(corpus: Corpus) -> dict[str, Tree]:
    """Each named entry as a Tree: one already, a path, or (path, weight).

    Raises:
      InputError: no entries, a directory is missing, or a weight isn't positive.
    """
    if not isinstance(corpus, Mapping) or not corpus:
        raise InputError(f"corpus is {corpus!r}; expected a mapping from names to directories")
    trees = {str(name): _as_tree(entry) for name, entry in corpus.items()}
    for name, tree in trees.items():
        if not pathlib.Path(tree.path).is_dir():
            raise InputError(f"corpus {name!r}: {tree.path} isn't a directory; set its path")
        if not tree.weight > 0:
            raise InputError(f"corpus {name!r}: weight is {tree.weight}; expected more than 0")
    return trees


def _as_tree(entry: Any) -> Tree:
    if isinstance(entry, Tree):
        return entry
    if isinstance(entry, str | os.PathLike):
        return Tree(path=os.fspath(entry))
    try:
        path, weight = entry
        return Tree(path=os.fspath(path), weight=float(weight))
    except (TypeError, ValueError):
        raise InputError(f"corpus entry {entry!r}; expected a path or (path, weight)") from None


def list_files(tree: Tree) -> Iterator[tuple[str, os.stat_result]]:
    """Relative path and status of each file the tree selects, sorted; links aren't followed."""
    root = pathlib.Path(tree.path)
    for directory, folders, names in os.walk(root):
        folders.sort()
        below = pathlib.Path(directory).relative_to(root)
        for name in sorted(names):
            path = pathlib.Path(directory, name)
            relative = (below / name).as_posix()
            if not name.endswith(tuple(tree.suffixes)) or path.is_symlink():
                continue
            if not any(fnmatch.fnmatchcase(relative, glob) for glob in tree.exclude):
                yield relative, path.stat()


def read_documents(tree: Tree, dropped: collections.Counter[str]) -> Iterator[Document]:
    """The tree's documents, once each; `dropped` counts the files left out by reason."""
    for relative, status in list_files(tree):
        text = _read(pathlib.Path(tree.path, relative), status, tree.max_bytes)
        if isinstance(text, Drop):
            dropped[text.reason] += 1
        else:
            yield Document(relative, text)


def nothing_usable(names: Iterable[str], dropped: collections.Counter[str]) -> InputError:
    """The error for a corpus that gave no document."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
    why = reasons or "nothing has a wanted suffix; check the paths, suffixes and excludes"
    return InputError(f"no usable file in {', '.join(names)}: {why}")


@dataclasses.dataclass(frozen=True)
class Drop:
    """Why a file isn't in the corpus."""

    reason: str


def _read(path: pathlib.Path, status: os.stat_result, max_bytes: int) -> str | Drop:
    if status.st_size > max_bytes:
        return Drop("too large")
    try:
        content = path.read_bytes()
    except OSError:
        return Drop("unreadable")
    if b"\0" in content:
        return Drop("binary")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return Drop("not UTF-8")
    return text if text.strip() else Drop("empty")


def repeats(path: str, weight: float) -> int:
    """How often the document at `path` occurs in a tree of this weight."""
    share = int.from_bytes(hashlib.sha256(path.encode()).digest()[:7]) / 2**56
    return int(weight) + (share < weight % 1)


def state_of(trees: Mapping[str, Tree]) -> str:
    """A hash of the trees' settings and of every selected file's path, size and time.

    Changes when the corpus may have; cheap, for nothing is read.
    """
    digest = hashlib.sha256()
    for name, tree in trees.items():
        digest.update(json.dumps([name, dataclasses.asdict(tree)], sort_keys=True).encode())
        for relative, status in list_files(tree):
            digest.update(f"{relative}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
