"""What sandboxes see at /kit: the drivers, and what each language is made ready with, once.

A kit is made inside a sandbox too, kept among temporary files under the digest of all it is made
from, and read-only wherever programs run.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator

from codex_jax import InputError
from codex_jax.evaluate.languages.spec import PATH, Language

_DRIVERS = pathlib.Path(__file__).with_name("drivers")


@functools.cache
def drivers() -> pathlib.Path:
    """The folder to be shown at /kit, which already holds the drivers.

    Raises:
      InputError: somebody else owns that folder.
    """
    base = pathlib.Path(tempfile.gettempdir(), f"codex-jax-kits-{os.geteuid()}")
    base.mkdir(mode=0o755, exist_ok=True)
    status = base.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022 or base.is_symlink():
        raise InputError(f"{base} isn't ours alone; expected to make kits there; turn TMPDIR")
    files = sorted(path for path in _DRIVERS.iterdir() if path.is_file())  # not pip's bytecode
    folder = base / _digest(*(file.read_bytes() for file in files))
    with _locked(base / "lock"):
        if not folder.exists():
            partial = base / "partial"
            shutil.rmtree(partial, ignore_errors=True)
            (partial / "drivers").mkdir(parents=True)
            for file in files:
                shutil.copy(file, partial / "drivers")
            _open_to_all(partial)
            partial.rename(folder)
    return folder


def ready(language: Language, make: Callable[[Language], bytes]) -> None:
    """Has the language's kit made where it isn't there yet; `make` returns its files, packed."""
    root, tools = drivers(), stamp(language)
    folder = root / language.name
    with _locked(root / f"{language.name}.lock"):
        if not language.kit or (folder / tools).exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        partial = root / f"partial-{language.name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        unpack(make(language), partial)
        (partial / tools).touch()
        _open_to_all(partial)
        partial.rename(folder)


def stamp(language: Language) -> str:
    """Another one where a tool of the language has been replaced, or its kit is made otherwise."""
    return _digest(language.kit.encode(), *map(_identity, language.tools))


def unpack(body: bytes, folder: pathlib.Path) -> None:
    """Files into the folder itself, whatever the names in the body say."""
    head, _, rest = body.partition(b"\n")
    for name, size in json.loads(head).items():
        if "/" not in name and name not in ("", ".", ".."):
            (folder / name).write_bytes(rest[:size])
        rest = rest[size:]


def _identity(tool: str) -> bytes:
    found = shutil.which(tool, path=PATH)
    if found is None:
        return b""
    status = pathlib.Path(found).resolve().stat()
    return f"{status.st_size} {status.st_mtime_ns}".encode()


def _digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()[:16]


def _open_to_all(folder: pathlib.Path) -> None:
    """Sandboxes started by root run as nobody."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
