"""Folders that hold no sources of their tree's own: version control, packages, caches, builds."""

import os
import pathlib
from collections.abc import Collection, Sequence

_VERSION_CONTROL = (".git", ".hg", ".svn", ".bzr", "CVS", "_darcs")
_PACKAGES = ("node_modules", "bower_components", ".venv", "venv", "env", ".eggs", ".bundle")
_CACHES = ("__pycache__", ".tox", ".nox", ".cache", ".mypy_cache", ".pytest_cache")
_RUN_CACHES = (".ruff_cache", ".ipynb_checkpoints", ".gradle", ".terraform")
_BUILDS = ("build", "dist", "target", "out", "obj", "_build", "CMakeFiles")
SKIPPED_FOLDERS = (*_VERSION_CONTROL, *_PACKAGES, *_CACHES, *_RUN_CACHES, *_BUILDS)

# A package may have a module `build` or `venv`: these names count beside or with such a file.
_MANIFESTS = {"setup.py", "setup.cfg", "pyproject.toml", "package.json", "CMakeLists.txt"}
_MANIFESTS |= {"Cargo.toml", "pom.xml", "build.gradle", "build.gradle.kts", "Makefile", "go.mod"}
_PROJECTS = (".csproj", ".cabal", ".gemspec")
_BESIDE_MANIFEST = {*_BUILDS} - {"CMakeFiles"}
_WITH_MARK = {"venv": "pyvenv.cfg", "env": "pyvenv.cfg"}
_MARKS = {"CACHEDIR.TAG", "pyvenv.cfg", "CMakeCache.txt"}  # of a folder by any name


def is_skipped(folder: pathlib.Path, siblings: Collection[str], names: Sequence[str]) -> bool:
    """Tells whether a folder is left out, by its name, what lies beside it, or a mark in it.

    Args:
      folder: Path of the folder.
      siblings: The names beside it.
      names: Names of folders to leave out; none leaves in every folder.
    """
    if not names:
        return False
    if folder.name in names:
        if folder.name in _BESIDE_MANIFEST:
            if any(each in _MANIFESTS or each.endswith(_PROJECTS) for each in siblings):
                return True
        elif folder.name not in _WITH_MARK:
            return True
    return any(os.path.lexists(folder / mark) for mark in _MARKS)


def skipped_folder_of(path: str, names: Sequence[str]) -> str:
    """Returns the outermost folder of a path in an archive that is left out by its name, or ""."""
    certain = {*names} - _BESIDE_MANIFEST - {*_WITH_MARK}
    folders = path.split("/")[:-1]
    depth = next((depth for depth, name in enumerate(folders, 1) if name in certain), 0)
    return "/".join(folders[:depth])
