"""A local copy of an object or folder of a bucket, which is uploaded again as it changes.

Objects can't be appended to. A program appends to the copy, and whole files follow it: at a
cadence, and at the end. A killed process loses what it wrote since the last upload, no more.
"""

import contextlib
import os
import pathlib
import re
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from types import TracebackType
from typing import Any

from codex_jax import InputError
from codex_jax.remote.objects import ABSENT, ConflictError, Objects
from codex_jax.remote.paths import is_remote, split_url

CADENCE_SECONDS = 60.0  # between uploads, or nine times as long as the last one took
_NOT_READ = b"not read\n"  # in place of an object that isn't fetched
_Stamp = tuple[int, int]  # modification time in ns, size
_NEVER: _Stamp = (0, 0)  # of an object whose file, if there is one, isn't uploaded


class Mirror:
    """The objects of a folder whose names match a pattern."""

    def __init__(
        self,
        url: str,
        pattern: str,
        *,
        root: pathlib.Path | None = None,
        fetches: Callable[[str], bool] = lambda _: True,
        mark: str = "",
        prefix: str = "",
        cadence_seconds: float = CADENCE_SECONDS,
    ):
        """Copies nothing yet.

        Args:
          url: The folder, as gs://BUCKET/NAME.
          pattern: Regular expression of the objects' names in it.
          root: Where the copy of the folder comes, in which marked files that weren't uploaded stay
            for the next one; by default a temporary folder, which goes at the end.
          fetches: Whether an object of this name is read; others get a line in their place.
          mark: Name of a file that says that the others are complete.
          prefix: Of all those names; others aren't listed.
          cadence_seconds: Between uploads.
        """
        self.url = url
        self._objects = Objects(url)
        self._pattern = re.compile(pattern, re.DOTALL)
        self._fetches = fetches
        self._mark = mark
        self._prefix = prefix
        self._cadence = cadence_seconds
        self._is_temporary = root is None
        self.root = root or pathlib.Path(tempfile.mkdtemp(prefix="codex_jax-"))
        self._generations: dict[str, bytes] = {}
        self._uploaded: dict[str, _Stamp] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._fault: InputError | None = None

    def pull(self) -> None:
        """Replaces the copy by the objects as they are now, unless its upload failed.

        Raises:
          InputError: the bucket can't be read.
        """
        with self._lock:
            names = self._objects.list(self._prefix)
            present = {name for name in names if self._pattern.fullmatch(name)}
            for name in present:
                self._check_name(name)
            files = self._files()
            self._generations, self._uploaded = {}, {}
            if self._is_unsent(files):  # others' objects stay as they are
                replaced = {name for name in present if name in files or self._is_mark(name)}
                self._uploaded = dict.fromkeys(replaced, _NEVER)
                return
            for name in files.keys() - present:
                self._remove(name)
            for name in sorted(present):
                self._fetch(name)

    def _is_unsent(self, files: Collection[str]) -> bool:
        """Whether the copy is complete, and was made here: uploaded files are replaced at once."""
        made = [name for name in files if not self._fetches(name)]
        return (
            any(map(self._is_mark, files))
            and bool(made)
            and not any(_is_placeholder(self.root / name) for name in made)
        )

    def _remove(self, name: str) -> None:
        """Deletes a file of the copy, and the folders that it leaves empty."""
        path = self.root / name
        path.unlink()
        with contextlib.suppress(OSError):  # a folder with other files
            for folder in list(path.parents)[: name.count("/")]:
                folder.rmdir()

    def _check_name(self, name: str) -> None:
        """Refuses a name that would be a file outside the copy."""
        if ".." in name.split("/") or "\0" in name:
            raise InputError(f"{self.url}/{name!r} can't be a file's name; set another path")

    def _fetch(self, name: str) -> None:
        path = self.root / name
        if name.endswith("/"):
            return  # a console's mark of a folder
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._fetches(name):
            content, generation = self._objects.read(name)
            if content is None:
                return
            path.write_bytes(content)  # in place: a program may have opened it
            self._generations[name] = generation
        else:
            _empty(path)
        self._uploaded[name] = _stamp(path)

    def _files(self) -> dict[str, _Stamp]:
        """Name → stamp of the copy's files."""
        stamps = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if not name.startswith("partial-")]
            for name in names:
                path = pathlib.Path(folder, name)
                relative = path.relative_to(self.root).as_posix()
                if self._pattern.fullmatch(relative) and not name.startswith("partial-"):
                    with contextlib.suppress(FileNotFoundError):
                        stamps[relative] = _stamp(path)
        return stamps

    def push(self) -> None:
        """Uploads the files that changed, and deletes the objects of those that are gone.

        Marks that say that others are complete go first, and come last.

        Raises:
          ConflictError: another process wrote one of the objects.
          InputError: the bucket can't be written.
        """
        with self._lock:
            if self._fault:
                raise self._fault
            files = self._files()
            changed = [name for name, stamp in files.items() if self._is_changed(name, stamp)]
            gone = self._uploaded.keys() - files.keys()
            is_replaced = gone or any(name in self._uploaded for name in changed)
            for name in filter(self._is_mark, self._uploaded if is_replaced else ()):
                self._write(name, None)
            for name in sorted(gone):
                self._write(name, None)
                del self._uploaded[name]
            for name in sorted(changed, key=self._rank):
                with contextlib.suppress(FileNotFoundError):  # replaced meanwhile: the next time
                    self._write(name, (self.root / name).read_bytes())
                    self._uploaded[name] = files[name]

    def _is_changed(self, name: str, stamp: _Stamp) -> bool:
        if self._uploaded.get(name) == stamp:
            return False
        return self._fetches(name) or not _is_placeholder(self.root / name)

    def _is_mark(self, name: str) -> bool:
        return bool(self._mark) and name.rpartition("/")[2] == self._mark

    def _rank(self, name: str) -> tuple[bool, int]:
        """Sorts marks last, and those of folders before that of the folder around them."""
        return self._is_mark(name), -name.count("/")

    def _write(self, name: str, content: bytes | None) -> None:
        is_read = name in self._generations or name not in self._uploaded
        former = self._generations.get(name, ABSENT) if is_read else None
        generation = self._objects.write(name, content, former)
        self._generations[name] = generation if content is not None else ABSENT

    def _keep_pushing(self) -> None:
        wait = self._cadence
        while not self._ended.wait(wait):
            start = time.monotonic()
            try:
                self.push()
            except ConflictError as error:
                self._fault = error
                print(error, file=sys.stderr)  # raised at the next push, which may be the last
                return
            except InputError as error:
                print(f"{error}; trying again", file=sys.stderr)
            wait = max(self._cadence, 9 * (time.monotonic() - start))

    def __enter__(self) -> "Mirror":  # noqa: PYI034  beartype refuses Self here
        try:
            self.pull()
        except InputError:
            self._remove_copy()
            raise
        self._thread = threading.Thread(target=self._keep_pushing, daemon=True, name="mirror")
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Uploads what isn't yet, also when an error ends the block."""
        self._ended.set()
        if self._thread:
            self._thread.join()
        try:
            self.push()
        except InputError as error:
            error.args = (f"{error}; the files are in {self.root}",)
            if error_type is None:
                raise
            print(error, file=sys.stderr)
        else:
            self._remove_copy()
            self._free_space()

    def _remove_copy(self) -> None:
        if self._is_temporary:
            shutil.rmtree(self.root, ignore_errors=True)

    def _free_space(self) -> None:
        """Replaces uploaded files that aren't read again; those that stay weren't uploaded."""
        for name, stamp in self._files().items():
            if self._uploaded.get(name) == stamp and not self._fetches(name):
                _empty(self.root / name)


def _stamp(path: pathlib.Path) -> _Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _is_placeholder(path: pathlib.Path) -> bool:
    with contextlib.suppress(FileNotFoundError):  # replaced meanwhile
        return path.stat().st_size == len(_NOT_READ) and path.read_bytes() == _NOT_READ
    return False


def _empty(path: pathlib.Path) -> None:
    """Puts a placeholder in a file's place at once, so that a killed process leaves no other."""
    partial = path.with_name(f"partial-{secrets.token_hex(4)}-{path.name}")
    partial.write_bytes(_NOT_READ)
    partial.replace(path)


def split_name(url: str) -> tuple[str, str]:
    """Returns the folder and the relative name of an object or folder; braces are in the name."""
    head, _, name = url.rstrip("/").rpartition("/")
    while "{" in head:
        head, _, part = head.rpartition("/")
        name = f"{part}/{name}"
    split_url(head)
    return head, name


def name_pattern(name: str) -> str:
    """Returns the pattern of a name, and of those that begin with it and "." or "/".

    Braces in it, as of {step}, stand for any text without "/".
    """
    stem = re.escape(name.rpartition(".")[0])
    learnt = rf"|{stem}\.learnt\.json" if stem else ""  # a tokenizer's notes
    return re.sub(r"\\{.*?\\}", "[^/]*", re.escape(name)) + "([./].*)?" + learnt


def name_prefix(name: str) -> str:
    """Returns that with which all names of `name_pattern` begin."""
    return name.partition("{")[0].rpartition(".")[0] or name.partition("{")[0]


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
    """Yields a local path itself, or that of a remote one's copy, which goes after the block.

    Raises:
      InputError: the bucket can't be read.
    """
    if not is_remote(path):
        yield path
        return
    head, name = split_name(path)
    mirror = Mirror(head, re.escape(name) + "(/.*)?", prefix=name)
    try:
        mirror.pull()
        yield str(mirror.root / name)
    finally:
        shutil.rmtree(mirror.root, ignore_errors=True)


@contextlib.contextmanager
def mirrored(path: str, **options: Any) -> Iterator[pathlib.Path]:
    """Yields a local path itself, or that of a remote one's copy, which is uploaded as it changes.

    Raises:
      InputError: the bucket can't be read or written.
    """
    if not is_remote(path):
        yield pathlib.Path(path)
        return
    head, name = split_name(path)
    with Mirror(head, name_pattern(name), prefix=name_prefix(name), **options) as mirror:
        yield mirror.root / name
