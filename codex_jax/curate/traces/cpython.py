"""CPython's own library as a package, and its tests."""

import pathlib
import sys
import sysconfig

from codex_jax.curate.packages import purity
from codex_jax.curate.packages.archives import Archive, decode_source

NAME = "cpython"
_NO_SOURCES = """
    test site-packages idlelib lib2to3 ensurepip turtledemo tkinter __pycache__ distutils
    pydoc_data curses dbm sqlite3 venv
"""
_PURE_ENOUGH = "email locale mimetypes optparse gettext platform sched pprint"
_SKIPPED = frozenset(_NO_SOURCES.split())
_ALSO = frozenset(_PURE_ENOUGH.split())
_MAX_FILE = 1 << 20


def library() -> pathlib.Path:
    """Returns the folder of this Python's library."""
    return pathlib.Path(sysconfig.get_path("stdlib"))


def read_library(folder: pathlib.Path) -> Archive:
    """Returns the library as an archive of sources."""
    sources = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        if not _SKIPPED & set(parts) and path.stat().st_size <= _MAX_FILE:
            sources["/".join(parts)] = decode_source(path.read_bytes())
    return Archive(NAME, sys.version.split()[0], "PSF-2.0", sources)


def test_modules(folder: pathlib.Path) -> list[str]:
    """Lists the test modules of the library's modules that need no system: test.test_textwrap."""
    names = []
    for path in sorted((folder / "test").glob("test_*")):
        tested = path.stem.removeprefix("test_").split("_")[0]
        is_module = (folder / f"{tested}.py").exists() or (folder / tested).is_dir()
        if is_module and (purity.is_pure_module(tested) or tested in _ALSO):
            names.append(f"test.{path.stem}")
    return names
