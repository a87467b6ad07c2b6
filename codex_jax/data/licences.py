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
_HEAD = 2000  # characters in which a file declares its licence
_LONGEST = 200_000


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
        """By declaration in the container or the file's head, else the nearest licence file's."""
        match = _DECLARED.search(text[:_HEAD])
        return declared or (match and match[1]) or self._of_directory(pathlib.Path(path).parent)

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
        for file in names:
            if _NAMES.fullmatch(file.name) and file.is_file() and not file.is_symlink():
                text = file.read_bytes()[:_LONGEST].decode("utf-8", "replace")
                found = licenseclassifier.identify_license(text)
                if found:
                    return " AND ".join(sorted({each.id for each in found}))
        return UNKNOWN if directory == pathlib.Path() else self._of_directory(directory.parent)
