"""The description of a corpus: named directory trees, their files listed in one order."""

import collections
import dataclasses
import fnmatch
import hashlib
import json
import os
import pathlib
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from codex_jax import InputError
from codex_jax.data.languages import LANGUAGES, may_contain
from codex_jax.data.skipped_folders import SKIPPED_FOLDERS, is_skipped

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".whl", ".crate")
JSONL = (".jsonl", ".jsonl.gz")
POSTS = "Posts.xml"

CONTAINERS = ("archives", "notebooks", "jsonl", "posts")
RENDERINGS = ("code", "prose to code", "code to prose")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceTree:
    """A directory of source files, the selection of them, and their rendering as text.

    Args:
      path: The directory.
      weight: How often each document occurs in the corpus; a fraction takes that share of them,
        chosen by a hash of their path.
      language_weights: Factors by which the weight of a language's documents is multiplied.
      languages: Names of `languages.LANGUAGES` to take, or "*" for all.
      exclude: Globs of paths below `path` to leave out; `*` also matches across "/".
      skip_folders: Names of folders to leave out; () takes every folder. Names that sources have
        too, such as "build", count only beside a manifest, such as package.json.
      open: Containers to open: "archives", "notebooks", "jsonl", "posts".
      max_bytes: Larger files are left out; the default is the Codex paper's (section 3.1).
      render_as: "code", or "prose to code" or "code to prose": functions with their docstrings,
        cells of notebooks, questions with their answers.
      infilling: Share of the documents cut for fill-in-the-middle.
      validation_share: Share of the documents that are the validation split, chosen by a hash of
        their path, once each.
    """

    shorthand: ClassVar = ("path", "weight")  # what a plain entry of a corpus stands for

    path: str
    weight: float = 1.0
    language_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    languages: Sequence[str] = ("Python",)
    exclude: Sequence[str] = ()
    skip_folders: Sequence[str] = SKIPPED_FOLDERS
    open: Sequence[str] = ()
    max_bytes: int = 1_000_000
    render_as: str = "code"
    infilling: float = 0.0
    validation_share: float = 0.0

    def accepts(self, language: str) -> bool:
        """Tells whether files of this language are taken."""
        return "*" in self.languages or language in self.languages

    def weight_of(self, language: str) -> float:
        """Returns how often a document of this language occurs."""
        return self.weight * self.language_weights.get(language, 1.0)


class Entry(NamedTuple):
    """A file as its directory lists it, or the reason why it can't be one."""

    path: str  # relative to the tree, with "/"
    size: int = 0
    modified: int = 0  # nanoseconds
    reason: str = ""


Corpus = Mapping[str, SourceTree | str | pathlib.Path | Sequence[Any]]


def read_corpus(corpus: Corpus) -> dict[str, SourceTree]:
    """Converts each named entry to a SourceTree: one already, a path, or (path, weight).

    Raises:
      InputError: no entries, a directory is missing, or a weight isn't positive.
    """
    if not isinstance(corpus, Mapping) or not corpus:
        raise InputError(f"corpus is {corpus!r}; expected a mapping from names to directories")
    trees = {str(name): _to_tree(entry) for name, entry in corpus.items()}
    for name, tree in trees.items():
        if not pathlib.Path(tree.path).is_dir():
            raise InputError(f"corpus {name!r}: {tree.path} isn't a directory; set its path")
        _check(name, tree)
    return trees


def _check(name: str, tree: SourceTree) -> None:
    for setting in ("languages", "exclude", "skip_folders", "open"):
        if isinstance(value := getattr(tree, setting), str):
            raise InputError(
                f"corpus {name!r}: {setting} is {value!r}; set {setting} to [{value!r}]"
            )
    if not tree.weight > 0:
        raise InputError(f"corpus {name!r}: weight is {tree.weight}; expected more than 0")
    for language, weight in tree.language_weights.items():
        if not weight >= 0:
            raise InputError(
                f"corpus {name!r}: language_weights of {language} is {weight}; expected ≥ 0"
            )
    if not 0 <= tree.infilling <= 1:
        raise InputError(f"corpus {name!r}: infilling is {tree.infilling}; expected 0 to 1")
    if not 0 <= tree.validation_share < 1:
        share = tree.validation_share
        raise InputError(f"corpus {name!r}: validation_share is {share}; expected 0 to below 1")
    for title, values, allowed in (
        ("language", [*tree.languages, *tree.language_weights], ("*", *LANGUAGES)),
        ("container", tree.open, CONTAINERS),
        ("render_as", (tree.render_as,), RENDERINGS),
    ):
        if unknown := [value for value in values if value not in allowed]:
            expected = ", ".join(allowed)
            raise InputError(f"corpus {name!r}: {title} {unknown[0]!r}; expected one of {expected}")


def _to_tree(entry: Any) -> SourceTree:
    if isinstance(entry, SourceTree):
        return entry
    if isinstance(entry, str | os.PathLike):
        return SourceTree(path=os.fspath(entry))
    try:
        path, weight = entry
        return SourceTree(path=os.fspath(path), weight=float(weight))
    except (TypeError, ValueError):
        raise InputError(f"corpus entry {entry!r}; expected a path or (path, weight)") from None


def list_files(tree: SourceTree) -> Iterator[Entry]:
    """Yields each file that the tree may take, sorted; links are listed, not followed.

    Folders that can't be read or are left out are listed too, but for those of byte code. Of a
    file with several names, hard links, the first is taken.
    """
    seen: set[tuple[int, int]] = set()
    for relative, reason in _walk(tree):
        if is_excluded(tree, relative):
            continue
        if reason:
            yield Entry(relative, reason=reason)
        elif _selects(tree, relative):
            yield read_entry(pathlib.Path(tree.path, relative), relative, seen)


def _walk(tree: SourceTree) -> Iterator[tuple[str, str]]:
    """Yields each path below the tree, and why a folder isn't entered; "" for what is none."""
    stack = [""]
    while stack:
        below = stack.pop()
        folder = pathlib.Path(tree.path, below)
        try:
            with os.scandir(folder) as entries:
                folder_states = {each.name: _folder_state(each) for each in entries}
        except OSError:
            yield below or ".", "unreadable"
            continue
        inner = []
        for name, state in sorted(folder_states.items()):
            relative = f"{below}/{name}".lstrip("/")
            if state != "folder":
                yield relative, state
            elif not is_skipped(folder / name, folder_states, tree.skip_folders):
                inner.append(relative)
            elif name != "__pycache__":
                yield relative, "skipped folder"
        stack.extend(reversed(inner))


def _folder_state(entry: os.DirEntry[str]) -> str:
    """Returns "folder", "link" for a link to one, or ""."""
    try:
        if entry.is_dir():
            return "link" if entry.is_symlink() else "folder"
    except OSError:
        pass  # a link in a loop
    return ""


def read_entry(
    path: pathlib.Path, relative: str, seen: set[tuple[int, int]] | None = None
) -> Entry:
    """Returns a path's entry; of a file with several names, only its first in `seen` has none."""
    try:
        status = path.lstat()
    except OSError:
        return Entry(relative, reason="unreadable")
    if stat.S_ISLNK(status.st_mode):
        return Entry(relative, reason="link")
    if not stat.S_ISREG(status.st_mode):
        return Entry(relative, reason="no regular file")
    if seen is not None and status.st_nlink > 1:
        if (number := (status.st_dev, status.st_ino)) in seen:
            return Entry(relative, reason="hard link")
        seen.add(number)
    return Entry(relative, status.st_size, status.st_mtime_ns)


def _selects(tree: SourceTree, path: str) -> bool:
    if is_archive(path):
        return "archives" in tree.open
    if path.endswith(JSONL):
        return "jsonl" in tree.open
    if pathlib.PurePosixPath(path).name == POSTS:
        return "posts" in tree.open
    return may_contain(path, tree.languages, "notebooks" in tree.open)


def is_archive(path: str) -> bool:
    """Tells whether the name is an archive's."""
    return path.lower().endswith(ARCHIVES)


def is_excluded(tree: SourceTree, path: str) -> bool:
    """Tells whether one of the tree's globs matches."""
    return any(fnmatch.fnmatchcase(path, glob) for glob in tree.exclude)


def no_usable_file_error(
    names: Iterable[str], dropped: collections.Counter[str], tasks: Collection[str] = ()
) -> InputError:
    """Returns the error for a corpus without a single document; `tasks` aren't trees of files."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
    if not reasons and {*names} <= {*tasks}:
        return InputError(
            f"no example in the split train of {', '.join(tasks)}; check source, preprocessors and "
            "validation_share, which may take all packages"
        )
    cause = reasons or "nothing is in a selected language; check path, languages and exclude"
    return InputError(f"no usable file in {', '.join(names)}: {cause}")


def repeat_count(path: str, weight: float, salt: str = "") -> int:
    """Returns how often the document at `path` occurs in a tree of this weight.

    `salt` makes the choice of a fraction that of a tree and a seed.
    """
    return int(weight) + (hash_share(f"{salt} {path}") < weight % 1)


def is_validation(path: str, share: float) -> bool:
    """Tells whether the document at `path` belongs to the validation split, by its hash alone."""
    return hash_share(f"validation {path}") < share


def hash_share(text: str) -> float:
    """Hashes a text to a number in [0, 1)."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6]) / 2**48


class Scan(NamedTuple):
    """The result of a walk over the trees that reads no file."""

    state: str  # changes when the corpus may have
    files: int
    bytes: int


def scan(trees: Mapping[str, SourceTree], other_files: Sequence[str] = ()) -> Scan:
    """Hashes the trees' settings, and path, size and time of each file; `other_files` too."""
    digest = hashlib.sha256()
    files = size = 0
    for name, tree in trees.items():
        digest.update(json.dumps([name, dataclasses.asdict(tree)], sort_keys=True).encode())
        for entry in list_files(tree):
            digest.update(f"{entry!r}\n".encode())
            files += 1
            size += entry.size
    for path in map(pathlib.Path, other_files):
        digest.update(repr(read_entry(path, str(path))).encode())
    return Scan(digest.hexdigest(), files, size)
