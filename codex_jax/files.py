"""Files that are written whole or not at all, at destinations that hold nothing of a stranger's.

Also repairs the torn last line of JSON Lines.
"""

import contextlib
import fnmatch
import json
import os
import pathlib
import secrets
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from codex_jax import InputError
from codex_jax.remote.paths import check_local, check_path, is_remote, to_path

Check = Callable[[pathlib.Path], bool]
_ROOM = "partial-01234567-"  # that a name leaves for the temporary file beside it


@contextlib.contextmanager
def atomic_path(path: pathlib.Path | str) -> Iterator[pathlib.Path]:
    """Yields a temporary path in the same folder, which replaces `path` if the block succeeds.

    The folder is created if need be. If the block raises, `path` is unchanged and the temporary
    file is removed.
    """
    check_local(path)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"partial-{secrets.token_hex(4)}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def atomic_write(path: pathlib.Path | str, content: str | bytes) -> None:
    """Writes `content` (text as UTF-8) to `path` through a temporary file."""
    with atomic_path(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def repair_jsonl(path: pathlib.Path | str) -> int:
    """Removes an unfinished last line, as a killed process leaves it.

    Returns:
      The number of bytes removed; 0 for a complete or absent file.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return 0
    with path.open("rb+") as file:
        end = position = file.seek(0, os.SEEK_END)
        while position:
            start = max(0, position - (1 << 16))
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                start += newline + 1
                break
            position = start
        else:
            start = 0
        if start < end:
            file.truncate(start)
        return end - start


def claim_folder(
    folder: pathlib.Path | str, own: Mapping[str, Check], setting: str, inputs: Iterable[str] = ()
) -> None:
    """Refuses a folder that holds anything besides a command's own files; an absent one is fine.

    Args:
      folder: The folder that `setting` names.
      own: Glob of a name → whether an entry of that name carries the command's mark.
      setting: The flag, for the message.
      inputs: Files that the command reads, which it mustn't replace.

    Raises:
      InputError: it is no folder, or can't be created, or an entry isn't the command's own, or is
        an input.
    """
    check_path(folder, setting)
    folder = to_path(folder) if is_remote(folder) else pathlib.Path(folder)
    if not _exists(folder):
        check_creatable(folder, setting)
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; expected a folder; set {setting} to a new one")
    paths = [path for path in map(pathlib.Path, inputs) if path.exists()]
    for entry in sorted(folder.iterdir()):
        if any(entry.exists() and entry.samefile(path) for path in paths):
            raise InputError(
                f"{entry} is an input, which would be replaced; set {setting} to another folder"
            )
        if not _is_own(entry, own):
            raise InputError(
                f"{folder} holds {entry.name!r}, which this command didn't write; "
                f"set {setting} to a new or empty folder"
            )


def _exists(path: Any) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _is_own(entry: pathlib.Path, own: Mapping[str, Check]) -> bool:
    for glob, check in own.items():
        if fnmatch.fnmatchcase(entry.name, f"partial-????????-{glob}"):
            return True  # a killed process left it
        if fnmatch.fnmatchcase(entry.name, glob):
            return _is_empty_file(entry) or check(entry)
    return False


def _is_empty_file(path: pathlib.Path) -> bool:
    return path.is_file() and not _size(path)


def _size(path: pathlib.Path) -> int:
    status: Any = path.stat()
    return status.length if is_remote(path) else status.st_size


def claim_file(
    path: pathlib.Path | str, check: Check, setting: str, inputs: Iterable[str] = ()
) -> None:
    """Refuses to replace a file unless `check` finds the command's mark in it.

    Args:
      path: The file that `setting` names.
      check: Whether it carries the command's mark.
      setting: The flag, for the message.
      inputs: Files that the command reads, which it mustn't replace.

    Raises:
      InputError: something else is at that path, or an input is, or no file can be created there.
    """
    check_path(path, setting, remote=False)
    path = pathlib.Path(path)
    if not os.path.lexists(path):
        check_creatable(path, setting)
        return
    others = [other for other in map(pathlib.Path, inputs) if other.is_file()]
    if path.exists() and any(map(path.samefile, others)):
        raise InputError(
            f"{path} is an input, which would be replaced; set {setting} to another file"
        )
    if not (path.is_file() and (_is_empty_file(path) or check(path))):
        raise InputError(
            f"{path} exists, and this command didn't write it; set {setting} to a new file"
        )


def check_creatable(path: Any, setting: str) -> None:
    """Refuses a path below a folder where nothing can be created, such as /proc, or a broken link.

    Args:
      path: An absent file or folder.
      setting: The flag that names it, for the message.

    Raises:
      InputError: the path is refused.
    """
    if is_remote(path):
        return
    folder, names = pathlib.Path(path), []
    while not os.path.lexists(folder):
        names.append(folder.name)
        folder = folder.parent
    for name in names:
        _check_name(folder / f"{name}{_ROOM}", path, setting)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "" if isinstance(error, FileNotFoundError) else f" ({error.strerror})"
        raise InputError(
            f"{path}: nothing can be created in {folder}{reason}; set {setting} to a path elsewhere"
        ) from None


def _check_name(entry: pathlib.Path, path: Any, setting: str) -> None:
    """Raises InputError where nothing can have a name: a long one, one below links in a circle."""
    try:
        os.lstat(entry)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # the latter for a zero byte
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: {reason}; set {setting} to another path") from None


def resolve_output(path: pathlib.Path | str, setting: str) -> pathlib.Path:
    """Returns an output's path with its links followed, if something is or can be created there.

    Raises:
      InputError: nothing can.
    """
    if not _exists(pathlib.Path(path)):
        check_creatable(path, setting)
    return pathlib.Path(path).resolve()


def parse_json(text: str | bytes, **options: Any) -> Any:
    """Parses JSON; a ValueError also where it is nested too deep for Python.

    Args:
      text: of JSON.
      options: of json.loads.
    """
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def has_json_keys(*keys: str, lines: bool = False) -> Check:
    """Returns a check for an object of JSON that has all these keys.

    With `lines`, for JSON Lines whose first has them; a killed process leaves less than one line,
    which must begin with the first key.
    """

    def check(path: pathlib.Path) -> bool:
        try:
            with path.open("rb") as file:
                content = file.readline() if lines else file.read()
            if lines and not content.endswith(b"\n"):
                start = f'{{"{keys[0]}"'.encode()
                return content.startswith(start) or start.startswith(content)
            fields = parse_json(content)
        except (OSError, ValueError):
            return False
        return isinstance(fields, dict) and fields.keys() >= set(keys)

    return check


def is_beside(name: str, check: Check) -> Check:
    """Returns a check for a file beside the file `name`, which carries the command's mark."""
    return lambda path: check(path.with_name(name))


def has_text(mark: str) -> Check:
    """Returns a check for a file whose first 4,096 bytes hold `mark`."""

    def check(path: pathlib.Path) -> bool:
        try:
            with path.open("rb") as file:
                return mark.encode() in file.read(4096)
        except OSError:
            return False

    return check


def repair_gzip(path: pathlib.Path | str) -> int:
    """Removes an unfinished last gzip member, as a killed process leaves it.

    Returns:
      The number of bytes removed; 0 for a complete or absent file.

    Raises:
      zlib.error: the file is not a sequence of gzip members.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return 0
    end = complete = 0
    member = zlib.decompressobj(wbits=31)
    with path.open("rb+") as file:
        while chunk := file.read(1 << 16):
            end += len(chunk)
            while chunk:
                member.decompress(chunk)
                chunk = member.unused_data
                if member.eof:
                    complete = end - len(chunk)
                    member = zlib.decompressobj(wbits=31)
        if complete < end:
            file.truncate(complete)
        return end - complete
