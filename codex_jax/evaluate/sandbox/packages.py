"""Python packages of this environment that programs may import, read-only at /packages inside."""

import importlib.util
import pathlib
import re
from collections.abc import Sequence

from codex_jax import InputError
from codex_jax.evaluate.sandbox import protocol
from codex_jax.list_settings import split_names


def describe(names: Sequence[str]) -> tuple[str, ...]:
    """Returns "name version" of each package, on which verdicts depend.

    Args:
      names: of packages; a text has them between commas.

    Raises:
      InputError: one isn't installed.
    """
    distinct = dict.fromkeys(split_names("packages", names))
    return tuple(f"{name} {_version(name)}" for name in distinct)


def sources(descriptions: Sequence[str]) -> dict[str, str]:
    """Returns the folders and files of packages by their paths inside.

    Args:
      descriptions: as `describe` returns them.
    """
    paths: dict[str, str] = {}
    for description in descriptions:
        path = _path(description.split()[0])
        for part in (path, path.with_name(f"{path.name}.libs")):  # of its wheel: shared libraries
            if part.exists():
                paths[f"{protocol.PACKAGES}/{part.name}"] = str(part.resolve())
    return paths


def is_installed(name: str) -> bool:
    """Whether this Python has a top-level module; nothing is imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # a name such as __main__, which no import finds
        return False


def allow_command(module: str) -> str:
    """Returns what lets programs import a module that they can't import."""
    name = module.partition(".")[0]
    install = "" if is_installed(name) else f"install with: pip install {name}; "
    return f"{install}set packages to {name}"


def hint(message: str) -> str:
    """Returns what lets programs import the module that an error says is absent; else empty."""
    absent = re.search(r"No module named '(\w+)", message)
    return f"; {allow_command(absent[1])}" if absent else ""


def _path(name: str) -> pathlib.Path:
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or spec.origin in (None, "built-in", "frozen"):
        raise InputError(
            f"packages: {name or repr(name)} is not installed here; expected names that Python "
            f"imports, such as numpy; install it with: pip install {name}"
        )
    path = pathlib.Path(str(spec.origin))
    return path.parent if spec.submodule_search_locations else path


def _version(name: str) -> str:
    import importlib.metadata  # loads slowly, and each judge process loads this module

    path = _path(name)
    distributions = importlib.metadata.packages_distributions().get(name, [])
    versions = [importlib.metadata.version(distribution) for distribution in distributions]
    return versions[0] if versions else str(path.stat().st_mtime_ns)
