"""Packages of a few lines, and sandboxes to run their functions in."""

import io
import pathlib
import tarfile
import textwrap
from collections.abc import Mapping

import pytest

from codex_jax import InputError
from codex_jax.curate.packages import archives, modules
from codex_jax.evaluate.sandbox import backends, python_sandbox
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner

METADATA = "Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nLicense-Expression: MIT\n"


def package_of(**sources: str) -> modules.Package:
    """A package `pkg` of modules by name; `tests` are sources of tests."""
    files = {"pkg/__init__.py": ""}
    for name, text in sources.items():
        folder = "tests" if name.startswith("test_") else "pkg"
        files[f"{folder}/{name}.py"] = textwrap.dedent(text)
    return modules.Package(archives.Archive("pkg", "1.0", "MIT", files))


def write_sdist(folder: pathlib.Path, name: str, files: Mapping[str, str]) -> pathlib.Path:
    """An sdist with its metadata and these files."""
    path = folder / f"{name}-1.0.tar.gz"
    files = {"PKG-INFO": METADATA.format(name=name), **files}
    with tarfile.open(path, "w:gz") as archive:
        for file, text in files.items():
            content = textwrap.dedent(text).encode()
            info = tarfile.TarInfo(f"{name}-1.0/{file}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(scope="session")
def sandbox_name() -> str:
    """The fastest sandbox that works here."""
    for name in reversed(list(backends.BACKENDS)):
        try:
            python_sandbox.choose_backend(name)
        except InputError as error:
            reason = str(error)
        else:
            return name
    pytest.skip(reason)


@pytest.fixture(scope="session")
def runner(sandbox_name) -> ProgramRunner:
    return ProgramRunner(sandbox=sandbox_name)


@pytest.fixture(scope="session")
def session(runner):
    with runner.open(5) as opened:
        yield opened


def run_check(test: str, candidate) -> None:
    """Runs a problem's test on a function."""
    namespace: dict = {}
    exec(test, namespace)
    namespace["check"](candidate)


def load(source: str, name: str):
    """A function of a source, run here."""
    namespace: dict = {"__name__": __name__}
    exec(source, namespace)
    return namespace[name]
