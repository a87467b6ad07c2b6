"""A file's license, as an SPDX expression, and whether an allow-list admits it."""

import contextlib
import functools
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

from codex_jax.data.readers.license_files import is_license_file, rank, read_license
from codex_jax.data.readers.license_names import (
    LONGEST,
    debian_license,
    identify,
    named_at,
    to_spdx,
)
from codex_jax.data.readers.open_file import read_head
from codex_jax.licenses import AllowList

UNKNOWN, ANY = "unknown", "*"
_SPDX_LINE = re.compile(r"SPDX-License-Identifier:\s*([\w.+() -]+?)\s*(?:\*/|-->|\n|$)")
_ANY_LINE = re.IGNORECASE | re.MULTILINE
_DECLARED = re.compile(r"(?:@licen[sc]e|^[ \t*#/;-]*Licen[sc]e:)[ \t]+(.{2,60})", _ANY_LINE)
_UNDER = re.compile(
    r"(?:licensed|released|distributed|available) under (?:the )?(?:terms of (?:the )?)?(.{2,60})",
    re.IGNORECASE,
)
_GNU = re.compile(
    r"GNU (Affero |Lesser |Library )?General Public License.{0,80}?version (\d)(\.\d)?(.{0,60})",
    re.IGNORECASE,
)
_GNU_NAMES = {"affero ": "AGPL", "lesser ": "LGPL", "library ": "LGPL", "": "GPL"}
_MARKS = re.compile(r"[\s*#/;]+")
_COMMENT = re.compile(
    r"(?:\s*(?:(?:#|//|--|;|%)[^\n]*(?:\n|$)|/\*.*?(?:\*/|$)|<!--.*?(?:-->|$)"
    r"|\"\"\".*?(?:\"\"\"|$)|'''.*?(?:'''|$)))*",
    re.DOTALL,
)
_SIGN = re.compile(r"licen[sc]e|permission", re.IGNORECASE)
_HEAD = 4000  # characters in which a file declares its license


class Licenses:
    """Licenses of the files below a directory."""

    def __init__(self, root: pathlib.Path | str, allowed: Sequence[str] | None):
        """`allowed` are names of an AllowList, "unknown", or "*" for all; None asks nothing.

        Raises:
          InputError: a name is none of these.
        """
        self._root = pathlib.Path(root)
        self._words = {UNKNOWN, ANY}.intersection(allowed or ())
        self._allowed = AllowList(name for name in allowed or () if name not in self._words)
        self._declared_in = functools.cache(_declared_in)

    def license_of(self, path: str, text: str, declared: str = "") -> str:
        """Returns the license by the file's head, else its container, else the nearest files."""
        return license_in_head(text) or declared or self._nearest(path)

    def allows(self, license: str) -> bool:
        """Returns whether the list admits the expression."""
        return not self._words.isdisjoint({license, ANY}) or self._allowed.admits(license)

    def _nearest(self, path: str) -> str:
        """Returns the license that the nearest folder above a file declares."""
        folder, license = self._root, self._declared_in(self._root)
        for name in path.split("/")[:-1]:
            folder = folder / name
            if name in ("", ".", "..") or not os.path.isdir(folder):  # noqa: PTH112 (never raises)
                break  # from here on the path is within a container
            license = self._declared_in(folder) or license
        return license or UNKNOWN


def license_in_head(text: str) -> str:
    """Returns the license that a file's first comment names: an SPDX line, a notice, a text."""
    head = text[:_HEAD]
    if match := _SPDX_LINE.search(head):
        return match[1]
    comment = (_COMMENT.match(head.removeprefix("<?php\n")) or [""])[0]
    if not _SIGN.search(comment):
        return ""
    return _license_in_comment(comment)


@functools.lru_cache(maxsize=10_000)  # most files of a package begin with the same comment
def _license_in_comment(comment: str) -> str:
    if license := identify(comment.encode("utf-8", "replace"), coverage=0):
        return license
    words = _MARKS.sub(" ", comment)
    names = [to_spdx(match[1]) or named_at(match[1]) for match in _DECLARED.finditer(comment)]
    names += [named_at(match[1]) for match in _UNDER.finditer(words)]
    return next(filter(None, names), "") or _gnu_license(words)


def _gnu_license(notice: str) -> str:
    """Returns the GNU license that a notice names with its version, whatever words are around."""
    if not (match := _GNU.search(notice)):
        return ""
    name, end = _GNU_NAMES[(match[1] or "").lower()], "later" in match[4]
    return f"{name}-{match[2]}{match[3] or '.0'}-{'or-later' if end else 'only'}"


def _declared_in(folder: pathlib.Path) -> str:
    """Returns the license that a folder's own files declare; "" where none does."""
    return next(filter(None, _declarations(folder)), "")


def _declarations(folder: pathlib.Path) -> Iterator[str]:
    """Yields what the manifests say, then license texts, LICENSES/ (REUSE), Debian's copyright."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 (names alone)
    except OSError:
        return
    for name in sorted(filter(is_license_file, names), key=rank):
        if not (folder / name).is_symlink():
            yield read_license(name, read_head(folder / name, LONGEST))
    if "LICENSES" in names and (folder / "LICENSES").is_dir():
        with contextlib.suppress(OSError):
            texts = sorted(path.stem for path in (folder / "LICENSES").iterdir())
            yield " AND ".join(filter(None, map(to_spdx, texts)))
    if "usr" in names:
        for copyright_file in sorted(folder.glob("usr/share/doc/*/copyright")):
            yield debian_license(read_head(copyright_file, LONGEST))
