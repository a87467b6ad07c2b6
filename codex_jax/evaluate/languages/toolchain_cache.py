"""Prebuilt toolchain artifacts, which sandboxes see read-only at /kit, next to the drivers.

The build script of a language runs once, in a sandbox too; its artifacts are stored in the
temporary folder, under the digest of the tools and scripts that they were built from.
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
from codex_jax.evaluate.languages.spec import DRIVERS, PATH, Language

_SCRIPTS = pathlib.Path(__file__).with_name("toolchains")


@functools.cache
def drivers_dir() -> pathlib.Path:
    """Returns the folder that sandboxes see as /kit; it contains the drivers.

    Raises:
      InputError: another user could write to the folder.
    """
    base = pathlib.Path(tempfile.gettempdir(), f"codex-jax-kits-{os.geteuid()}")
    base.mkdir(mode=0o755, exist_ok=True)
    status = base.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022 or base.is_symlink():
        raise InputError(
            f"{base} is writable by others; expected a private folder; set TMPDIR to another one"
        )
    files = sorted(path for path in DRIVERS.iterdir() if path.is_file())  # not bytecode folders
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


def ensure_built(
    language: Language, build: Callable[[str], bytes], check: Callable[[], None]
) -> None:
    """Builds and checks the language's toolchain unless that is done.

    Args:
      language: the language.
      build: runs a build script and returns its artifacts, packed.
      check: raises an exception if the toolchain doesn't work.
    """
    root, tools = drivers_dir(), fingerprint(language)
    folder = root / language.name
    with _locked(root / f"{language.name}.lock"):
        if (folder / tools).exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        partial = root / f"partial-{language.name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        if language.build_script:
            unpack(build(_script(language)), partial)
        _open_to_all(partial)
        partial.rename(folder)
        check()
        (folder / tools).touch()


def fingerprint(language: Language, text: str = "") -> str:
    """Digest of a language's row, its tools, and the parts that programs of this text need."""
    parts = [part.version(language.env) for part in language.needed_parts(text)]
    row = repr((language, parts)).encode()
    return _digest(row, _script(language).encode(), *map(_identity, language.tools))


def _script(language: Language) -> str:
    name = language.build_script
    return (_SCRIPTS / name).read_text(encoding="utf-8") if name else ""


def unpack(body: bytes, folder: pathlib.Path) -> None:
    """Writes packed files into the folder itself; names with a folder are ignored."""
    head, _, rest = body.partition(b"\n")
    for name, size in json.loads(head).items():
        if "/" not in name and name not in ("", ".", ".."):
            (folder / name).write_bytes(rest[:size])
        rest = rest[size:]


def _identity(tool: str) -> bytes:
    path = shutil.which(tool, path=PATH)
    if path is None:
        return b""
    status = pathlib.Path(path).resolve().stat()
    return f"{status.st_size} {status.st_mtime_ns}".encode()


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


def _open_to_all(folder: pathlib.Path) -> None:
    """Makes the files readable: sandboxes started by root run as nobody."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
