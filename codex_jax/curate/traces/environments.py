"""Environments of packages: what their tests import, installed into a folder of its own.

Only wheels are installed, which runs nothing of theirs; their code runs in the sandbox alone.
"""

import pathlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence

from codex_jax.curate.packages.archives import Archive

_TEST_EXTRA = re.compile(r"^(tests?|testing|pytest|unittest)$")
_DEV_EXTRA = re.compile(r"^(dev|develop|development)$")
_EXTRA = re.compile(r"""\s*(?:and\s*)?\(?\s*extra\s*==\s*['"]([^'"]+)['"]\s*\)?""")
# Tools that check or build a package and that its tests seldom import.
_TOOLS = re.compile(
    r"^(black|ruff|mypy|flake8.*|pylint|pyright|sphinx.*|furo|mkdocs.*|tox.*|nox|twine|build|wheel"
    r"|coveralls|codecov|pre-commit|isort|bandit|towncrier|types-.*|pytest-(cov|xdist|black|ruff"
    r"|checkdocs|enabler|mypy|flake8|benchmark|sugar|randomly)|atheris|pyinstrument|asv)\b",
    re.IGNORECASE,
)
# A name of the index, with extras, versions and a marker: no option, path or address.
_FROM_INDEX = re.compile(
    r"[A-Za-z0-9][\w.-]*\s*(\[[\w\s,.-]*\])?\s*\(?[\w\s.,*+!<>=~-]*\)?\s*(;[^@]*)?", re.ASCII
)
_INSTALL_S = 150.0
_MOST_SINGLE = 8  # requirements that are tried one by one after all together failed


def requirements(archive: Archive) -> tuple[list[str], list[str]]:
    """Returns a package's requirements, and those of its tests, without tools."""
    own, by_extra = [], dict[str, list[str]]()
    for line in archive.requires:
        requirement, _, marker = line.partition(";")
        extra = _EXTRA.search(marker)
        rest = _EXTRA.sub("", marker).strip().removeprefix("and ").strip()
        text = f"{requirement.strip()}; {rest}" if rest else requirement.strip()
        if extra:
            by_extra.setdefault(extra[1], []).append(text)
        else:
            own.append(text)
    for name, texts in _groups(archive.pyproject):
        by_extra.setdefault(name, []).extend(texts)
    extras = [name for name in by_extra if _TEST_EXTRA.match(name)]
    extras = extras or [name for name in by_extra if _DEV_EXTRA.match(name)]
    tests = [text for name in extras for text in by_extra[name] if not _TOOLS.match(text)]
    return own, list(dict.fromkeys(tests))


def _groups(pyproject: str) -> Iterator[tuple[str, list[str]]]:
    """Yields the name and requirements of each dependency group and extra."""
    try:
        tables = tomllib.loads(pyproject)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    project = tables.get("project")
    extras = project.get("optional-dependencies") if isinstance(project, dict) else None
    for groups in (tables.get("dependency-groups"), extras):
        for name, texts in groups.items() if isinstance(groups, dict) else ():
            if isinstance(texts, list):
                yield name, [text for text in texts if isinstance(text, str)]


def install(archive: Archive, folder: pathlib.Path) -> str:
    """Installs a package's wheel, its requirements and its tests' into a folder.

    Returns:
      What could not be installed, in a line; "" if all was.
    """
    own, tests = requirements(archive)
    package = f"{archive.name}=={archive.version}"
    if _pip([package, *own, *tests, "pytest"], folder):
        return ""
    has_package = _pip([package, *own, "pytest"], folder)
    if not has_package and not _pip([*own, "pytest"], folder) and not _pip(["pytest"], folder):
        return "pytest"
    missing = [text for text in tests[:_MOST_SINGLE] if not _pip([text], folder)]
    return ", ".join([*missing, *tests[_MOST_SINGLE:], *([] if has_package else [package])])


def _pip(texts: Sequence[str], folder: pathlib.Path) -> bool:
    """Installs wheels by name; tells whether all were.

    The texts come from packages: an address would be built here, an option or a path obeyed.
    """
    if not all(map(_FROM_INDEX.fullmatch, texts)):
        return False
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
    command += ["--no-compile", "--upgrade", "--target", str(folder), "--", *texts]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
