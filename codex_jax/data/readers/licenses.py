"""A file's licence, as an SPDX expression, and whether an allow-list admits it."""

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
_FOR_ALL = re.compile(r"^Files:[ \t]*\*[ \t]*\n(?:\S.*\n|[ \t].*\n)*?License:[ \t]*(\S.*)$", re.M)
_GNU = re.compile(r"(?i)\b([AL]?GPL)-(\d)(?:\.(\d))?(?:\.0)?(\+|-or-later|-only)?(?![\w.+-])")
_HEAD = 2000  # characters in which a file declares its licence
_LONGEST = 200_000


def is_licence(path: str) -> bool:
    """Whether a file of this name holds a licence's text."""
    return bool(_NAMES.fullmatch(pathlib.PurePosixPath(path).name))


def identify(content: bytes) -> str:
    """The SPDX identifiers of a licence's text; "" where it is none that is known."""
    text = content[:_LONGEST].decode("utf-8", "replace")
    return " AND ".join(sorted({each.id for each in licenseclassifier.identify_license(text)}))


def of_package(content: bytes) -> str:
    """What a Debian package's copyright file says of all its files, as SPDX (else as `identify`).

    Its format names licences in its own way (copyright-format 1.0, section 7): "GPL-2+", "Expat".
    """
    text = content[:_LONGEST].decode("utf-8", "replace")
    if not (found := _FOR_ALL.search(text)):
        return identify(content)
    said = _GNU.sub(_gnu, found[1]).replace(",", "").replace("Expat", "MIT")
    said = re.sub(r"\s+(and|or)\s+", lambda word: f" {word[1].upper()} ", said).strip()
    known = {name.lower(): name for name in license_expression.get_spdx_licensing().known_symbols}
    return " ".join(known.get(word.lower(), word) for word in said.split())


def _gnu(name: re.Match) -> str:
    end = "only" if name[4] in (None, "-only") else "or-later"
    return f"{name[1].upper()}-{name[2]}.{name[3] or 0}-{end}"


class Licences:
    """Licences of the files below one directory."""

    def __init__(self, root: pathlib.Path | str, allowed: Sequence[str] | None):
        """`allowed` are SPDX identifiers, "unknown", or "*" for all; None asks nothing.

        Raises:
          InputError: an identifier isn't SPDX's.
        """
        self._root = pathlib.Path(root)
        self._spdx = license_expression.get_spdx_licensing()
        known = self._spdx.known_symbols
        if strange := [name for name in allowed or () if name not in {*known, UNKNOWN, ANY}]:
            raise InputError(f"licence {strange[0]!r} isn't an SPDX identifier; e.g. Apache-2.0")
        self._allowed = set(allowed or ())
        self._of_directory = functools.cache(self._search)

    def of(self, path: str, text: str, declared: str = "") -> str:
        """By the file's head, else its container, else the nearest licence file."""
        match = _DECLARED.search(text[:_HEAD])
        return (match and match[1]) or declared or self._of_directory(pathlib.Path(path).parent)

    def allows(self, licence: str) -> bool:
        """Whether the list admits the expression: one side of an OR, both of an AND."""
        if licence == UNKNOWN or ANY in self._allowed:
            return not self._allowed.isdisjoint({licence, ANY})
        try:
            return self._holds(self._spdx.parse(licence))
        except license_expression.ExpressionError:
            return False

    def _holds(self, expression: license_expression.LicenseExpression) -> bool:
        if isinstance(expression, license_expression.AND):
            return all(map(self._holds, expression.args))
        if isinstance(expression, license_expression.OR):
            return any(map(self._holds, expression.args))
        return str(expression) in self._allowed

    def _search(self, directory: pathlib.Path) -> str:
        """SPDX identifiers of the licence file here, or in the nearest directory above."""
        here = self._root / directory
        names = sorted(here.iterdir()) if here.is_dir() else []
        texts = [(file, identify) for file in names if is_licence(file.name)]
        texts += [(file, of_package) for file in sorted(here.glob("usr/share/doc/*/copyright"))]
        for file, reader in texts:
            regular = file.is_file() and not file.is_symlink()
            if regular and (found := reader(file.read_bytes()[:_LONGEST])):
                return found
        return UNKNOWN if directory == pathlib.Path() else self._of_directory(directory.parent)
