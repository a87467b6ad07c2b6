"""The corpus as it is described: named directory trees, their files listed in one order."""

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
from codex_jax.data.archives import is_archive
from codex_jax.data.languages import LANGUAGES, wanted

JSONL = (".jsonl", ".jsonl.gz")
POSTS = "Posts.xml"


CONTAINERS = ("archives", "notebooks", "jsonl", "posts")
KINDS = ("code", "prose to code", "code to prose")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tree:
    """A directory of source files, what to take of it, and how to render that.

    Args:
      path: The directory.
      weight: How often each document occurs in the corpus; a fraction takes that share of them,
        chosen by a hash of their path.
      languages: Names of `languages.LANGUAGES` to take, or "*" for all.
      exclude: Globs of paths below `path` to leave out; `*` also matches across "/".
      containers: What to open: "archives", "notebooks", "jsonl", "posts".
      max_bytes: Larger files are left out; the default is the Codex paper's (section 3.1).
      kind: "code", or "prose to code" or "code to prose": functions with their docstrings, cells
        of notebooks, questions with their answers.
      infilling: Share of the documents cut for fill-in-the-middle.
    """

    path: str
    weight: float = 1.0
    languages: Sequence[str] = ("Python",)
    exclude: Sequence[str] = ()
    containers: Sequence[str] = ()
    max_bytes: int = 1_000_000
    kind: str = "code"
    infilling: float = 0.0

    def wants(self, language: str) -> bool:
        """Whether files of this language are taken."""
        return "*" in self.languages or language in self.languages


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
        _check(name, tree)
    return trees


def _check(name: str, tree: Tree) -> None:
    if not tree.weight > 0:
        raise InputError(f"corpus {name!r}: weight is {tree.weight}; expected more than 0")
    if not 0 <= tree.infilling <= 1:
        raise InputError(f"corpus {name!r}: infilling is {tree.infilling}; expected 0 to 1")
    for what, found, known in (
        ("language", tree.languages, ("*", *LANGUAGES)),
        ("container", tree.containers, CONTAINERS),
        ("kind", (tree.kind,), KINDS),
    ):
        if unknown := [each for each in found if each not in known]:
            expected = ", ".join(known)
            raise InputError(f"corpus {name!r}: {what} {unknown[0]!r}; expected one of {expected}")


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
    """Relative path and status of each file the tree may take, sorted; links aren't followed."""
    root = pathlib.Path(tree.path)
    for directory, folders, names in os.walk(root):
        folders.sort()
        below = pathlib.Path(directory).relative_to(root)
        for name in sorted(names):
            path = pathlib.Path(directory, name)
            relative = (below / name).as_posix()
            if not _selects(tree, relative) or path.is_symlink() or not path.is_file():
                continue
            if not excluded(tree, relative):
                yield relative, path.stat()


def _selects(tree: Tree, path: str) -> bool:
    if is_archive(path):
        return "archives" in tree.containers
    if path.endswith(JSONL):
        return "jsonl" in tree.containers
    if pathlib.PurePosixPath(path).name == POSTS:
        return "posts" in tree.containers
    return wanted(path, tree.languages, "notebooks" in tree.containers)


def excluded(tree: Tree, path: str) -> bool:
    """Whether one of the tree's globs matches."""
    return any(fnmatch.fnmatchcase(path, glob) for glob in tree.exclude)


def nothing_usable(names: Iterable[str], dropped: collections.Counter[str]) -> InputError:
    """The error for a corpus that gave no document."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
    why = reasons or "nothing is in a wanted language; check path, languages and exclude"
    return InputError(f"no usable file in {', '.join(names)}: {why}")


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
