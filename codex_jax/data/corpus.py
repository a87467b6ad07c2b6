"""The corpus as it is described: named directory trees, their files listed in one order."""

import collections
import dataclasses
import fnmatch
import hashlib
import json
import os
import pathlib
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from codex_jax import InputError
from codex_jax.data.languages import LANGUAGES, wanted
from codex_jax.data.readers.archives import is_archive

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
      rates: Of languages, by which the weight of their documents is multiplied.
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
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    languages: Sequence[str] = ("Python",)
    exclude: Sequence[str] = ()
    containers: Sequence[str] = ()
    max_bytes: int = 1_000_000
    kind: str = "code"
    infilling: float = 0.0

    def wants(self, language: str) -> bool:
        """Whether files of this language are taken."""
        return "*" in self.languages or language in self.languages

    def rate(self, language: str) -> float:
        """How often a document of this language occurs."""
        return self.weight * self.rates.get(language, 1.0)


class Entry(NamedTuple):
    """A file as its directory lists it, or the reason why it can't be one."""

    path: str  # relative to the tree, with "/"
    size: int = 0
    modified: int = 0  # nanoseconds
    reason: str = ""


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
    if bad := [language for language, rate in tree.rates.items() if not rate >= 0]:
        raise InputError(f"corpus {name!r}: rate of {bad[0]} is {tree.rates[bad[0]]}; expected ≥ 0")
    if not 0 <= tree.infilling <= 1:
        raise InputError(f"corpus {name!r}: infilling is {tree.infilling}; expected 0 to 1")
    for what, found, known in (
        ("language", [*tree.languages, *tree.rates], ("*", *LANGUAGES)),
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


def list_files(tree: Tree) -> Iterator[Entry]:
    """Each file that the tree may take, sorted; links aren't followed, but told."""
    root, unread = pathlib.Path(tree.path), []
    for directory, folders, names in os.walk(root, onerror=unread.append):
        folders.sort()
        below = pathlib.Path(directory).relative_to(root)
        links = [name for name in folders if pathlib.Path(directory, name).is_symlink()]
        for name in sorted([*names, *links]):
            relative = (below / name).as_posix()
            if (name in links or _selects(tree, relative)) and not excluded(tree, relative):
                yield _entry(pathlib.Path(directory, name), relative)
    for error in unread:
        yield Entry(pathlib.Path(error.filename).relative_to(root).as_posix(), reason="unreadable")


def _entry(path: pathlib.Path, relative: str) -> Entry:
    try:
        status = path.lstat()
    except OSError:
        return Entry(relative, reason="unreadable")
    if stat.S_ISLNK(status.st_mode):
        return Entry(relative, reason="link")
    if not stat.S_ISREG(status.st_mode):
        return Entry(relative, reason="no regular file")
    return Entry(relative, status.st_size, status.st_mtime_ns)


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
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).digest()
    share = int.from_bytes(digest[:7]) / 2**56
    return int(weight) + (share < weight % 1)


class Survey(NamedTuple):
    """What a walk over the trees shows without reading a file."""

    state: str  # changes when the corpus may have
    files: int
    bytes: int


def survey(trees: Mapping[str, Tree], others: Sequence[str] = ()) -> Survey:
    """The trees' settings and every selected file's path, size and time; and those of `others`."""
    digest = hashlib.sha256()
    files = size = 0
    for name, tree in trees.items():
        digest.update(json.dumps([name, dataclasses.asdict(tree)], sort_keys=True).encode())
        for entry in list_files(tree):
            digest.update(f"{entry!r}\n".encode())
            files += 1
            size += entry.size
    for path in map(pathlib.Path, others):
        digest.update(repr(_entry(path, str(path))).encode())
    return Survey(digest.hexdigest(), files, size)
