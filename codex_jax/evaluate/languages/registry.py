"""The table of languages: loading languages.toml, versions, and what is missing on this machine."""

import functools
import pathlib
import re
import shutil
from collections.abc import Iterable
from typing import Any

from codex_jax import InputError, records
from codex_jax.evaluate.languages import toolchain_cache
from codex_jax.evaluate.languages.spec import PATH, Language, Part, run_probe
from codex_jax.evaluate.sandbox import packages

_TABLE = pathlib.Path(__file__).with_name("languages.toml")


@functools.cache
def languages() -> dict[str, Language]:
    """All languages by name, read when the first one is used."""
    import tomllib

    with _TABLE.open("rb") as file:
        return {name: _language(name, row) for name, row in tomllib.load(file).items()}


def _language(name: str, row: dict[str, Any]) -> Language:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
    }
    fields["parts"] = tuple(
        Part(**{**part, "probe": tuple(part["probe"])}) for part in row.get("parts", ())
    )
    java = pathlib.Path(shutil.which("java", path=PATH) or "/usr/bin/java").resolve()
    env = {
        key: value.format(java_home=java.parent.parent) for key, value in row.get("env", {}).items()
    }
    return Language(name=name, **{**fields, "env": env})


def find_language(name: str) -> Language:
    """Returns the language of this name or alias.

    Raises:
      InputError: there is no such language.
    """
    for language in languages().values():
        if name.lower() in (language.name, *language.aliases):
            return language
    names = ", ".join(languages())
    raise InputError(
        f"language {name!r}; expected one of {names}; set language in the problems file"
    )


def tool_version(name: str) -> str:
    """Returns the first line of the tool's version; empty where it is absent."""
    language = languages()[name]
    if language.is_absent():
        return ""
    output = run_probe(language.version_command)
    lines = [line.strip() for line in (output or "").splitlines() if line.strip()]
    return lines[0][:80] if lines else "unknown"


def fingerprint(name: str, problem: records.Problem) -> str:
    """Identifies the tools, flags and libraries that verdicts on a problem's programs depend on."""
    tools = toolchain_cache.fingerprint(languages()[name], _text(problem))
    return f"{tool_version(name)} {tools} {toolchain_cache.drivers_dir().name}"


def require(problems: Iterable[records.Problem]) -> None:
    """Checks that all tools and libraries are installed that the problems need.

    Raises:
      InputError: one is missing; the message names it and the command that installs it.
    """
    texts: dict[str, list[str]] = {}
    for problem in problems:
        if problem.extra.get("mode"):
            name = problem.extra["language"]
            texts.setdefault(find_language(name).name, []).append(_text(problem))
    for name, lines in texts.items():
        if why := absence(name, "\n".join(lines)):
            raise InputError(f"{name} is {why}")


def absence(name: str, text: str | None = None) -> str:
    """Reason why programs in the language can't be judged, with the install command; else empty.

    Args:
      name: of the language.
      text: prompt and test of the problems to be judged; None asks for all parts.
    """
    language = languages()[name]
    if language.is_absent():
        return f"absent; install with: {language.install}"
    missing = language.missing(text)
    if not missing:
        return ""
    commands = " && ".join(dict.fromkeys(missing.values()))
    return f"incomplete: {', '.join(missing)}; install with: {commands}"


def install_command(language: Language, library: str) -> str:
    """Returns what lets programs in the language import a library that they can't import."""
    if language.name == "python":
        return packages.allow_command(library)
    if not language.install_library:
        return "no setting brings it into the sandbox"
    package = re.sub(r"::|[._]", "-", library.lower())
    return f"install with: {language.install_library.format(name=library, package=package)}"


def _text(problem: records.Problem) -> str:
    return f"{problem.prompt}\n{problem.test}"


def list_languages() -> None:
    """Prints each language with its version, or what is missing and what installs it."""
    for name in languages():
        broken = absence(name, "")
        states = [broken] if broken else [tool_version(name), absence(name)]
        print(f"{name:12}{'; '.join(filter(None, states))}")
