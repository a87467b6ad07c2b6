"""A file's license, as an SPDX expression, and whether an allow-list admits it."""

import functools
import pathlib
import re
from collections.abc import Sequence

import license_expression
import licenseclassifier

from codex_jax import InputError

UNKNOWN, ANY = "unknown", "*"
_DECLARED = re.compile(r"SPDX-License-Identifier:\s*([\w.+() -]+?)\s*(?:\*/|-->|\n|$)")
_NAMES = re.compile(r"(?:licen[sc]e|copying|unlicense)(?:[.-].*)?", re.IGNORECASE)
_FILES_ALL = re.compile(
    r"^Files:[ \t]*\*[ \t]*\n(?:\S.*\n|[ \t].*\n)*?License:[ \t]*(\S.*)$", re.MULTILINE
)
_GNU = re.compile(r"(?i)\b([AL]?GPL)-(\d)(?:\.(\d))?(?:\.0)?(\+|-or-later|-only)?(?![\w.+-])")
_HEAD = 2000  # characters in which a file declares its license
_LONGEST = 200_000


def is_license_file(path: str) -> bool:
    """Tells whether a file of this name holds a license's text."""
    return bool(_NAMES.fullmatch(pathlib.PurePosixPath(path).name))


def identify(content: bytes) -> str:
    """Returns the SPDX identifiers of a license's text; "" for an unknown one."""
    text = content[:_LONGEST].decode("utf-8", "replace")
    return " AND ".join(sorted({match.id for match in licenseclassifier.identify_license(text)}))


def debian_license(content: bytes) -> str:
    """Reads the license of all files from a Debian copyright file, as SPDX (else as `identify`).

    Its format names licenses in its own way (copyright-format 1.0, section 7): "GPL-2+", "Expat".
    """
    text = content[:_LONGEST].decode("utf-8", "replace")
    if not (match := _FILES_ALL.search(text)):
        return identify(content)
    expression = _GNU.sub(_to_spdx, match[1]).replace(",", "").replace("Expat", "MIT")
    expression = re.sub(r"\s+(and|or)\s+", lambda word: f" {word[1].upper()} ", expression)
    symbols = license_expression.get_spdx_licensing().known_symbols
    names = {name.lower(): name for name in symbols}
    return " ".join(names.get(word.lower(), word) for word in expression.split())


def _to_spdx(name: re.Match[str]) -> str:
    end = "only" if name[4] in (None, "-only") else "or-later"
    return f"{name[1].upper()}-{name[2]}.{name[3] or 0}-{end}"


class Licenses:
    """Licenses of the files below a directory."""

    def __init__(self, root: pathlib.Path | str, allowed: Sequence[str] | None):
        """`allowed` are SPDX identifiers, "unknown", or "*" for all; None asks nothing.

        Raises:
          InputError: an identifier isn't SPDX's.
        """
        self._root = pathlib.Path(root)
        self._spdx = license_expression.get_spdx_licensing()
        valid = {*self._spdx.known_symbols, UNKNOWN, ANY}
        if invalid := [name for name in allowed or () if name not in valid]:
            raise InputError(f"license {invalid[0]!r} isn't an SPDX identifier; e.g. Apache-2.0")
        self._allowed = set(allowed or ())
        self._license_of_directory = functools.cache(self._search)

    def license_of(self, path: str, text: str, declared: str = "") -> str:
        """Returns the license by the file's head, else its container, else the nearest file."""
        match = _DECLARED.search(text[:_HEAD])
        head = match[1] if match else ""
        return head or declared or self._license_of_directory(pathlib.Path(path).parent)

    def allows(self, license: str) -> bool:
        """Tells whether the list admits the expression: one side of an OR, both of an AND."""
        if license == UNKNOWN or ANY in self._allowed:
            return not self._allowed.isdisjoint({license, ANY})
        try:
            return self._is_satisfied(self._spdx.parse(license))
        except license_expression.ExpressionError:
            return False

    def _is_satisfied(self, expression: license_expression.LicenseExpression) -> bool:
        if isinstance(expression, license_expression.AND):
            return all(map(self._is_satisfied, expression.args))
        if isinstance(expression, license_expression.OR):
            return any(map(self._is_satisfied, expression.args))
        return str(expression) in self._allowed

    def _search(self, relative: pathlib.Path) -> str:
        """Returns SPDX identifiers of the license file here, or in the nearest directory above."""
        directory = self._root / relative
        files = sorted(directory.iterdir()) if directory.is_dir() else []
        readers = [(file, identify) for file in files if is_license_file(file.name)]
        debian = sorted(directory.glob("usr/share/doc/*/copyright"))
        readers += [(file, debian_license) for file in debian]
        for file, reader in readers:
            is_regular = file.is_file() and not file.is_symlink()
            if is_regular and (license := reader(file.read_bytes()[:_LONGEST])):
                return license
        if relative == pathlib.Path():
            return UNKNOWN
        return self._license_of_directory(relative.parent)
