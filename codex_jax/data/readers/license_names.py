"""SPDX expressions of a license's text, and of the many ways in which people name one."""

import re

import licenseclassifier

from codex_jax import licenses

LONGEST = 200_000  # bytes of a license's text that are read
_FILES_ALL = re.compile(
    r"^Files:[ \t]*\*[ \t]*\n(?:\S.*\n|[ \t].*\n)*?License:[ \t]*(\S.*)$", re.MULTILINE
)
_GNU = re.compile(
    r"(?i)\b([AL]?GPL)[- ]?v?(\d)(?:\.(\d))?(?:\.0)?( ?\+|-or-later| or later|-only)?(?![\w.+-])"
)
_OPERATORS = {"and": "AND", "or": "OR", "with": "WITH"}
_ALIASES = {
    "MIT": r"(?:the )?mit(?: license)?|expat(?: license)?|mit/x11",
    "Apache-2.0": r"(?:the )?(?:apache|asl)(?: software)?(?: license)?,?[ -]?(?:v|version )?2"
    r"(?:\.0)?|apache software license",
    "BSD-3-Clause": r"(?:new|modified|revised|3-clause|three-clause) bsd(?: license)?"
    r"|bsd[ -]3(?:[ -]clause)?(?: license)?|bsd license \(3-clause\)",
    "BSD-2-Clause": r"(?:simplified|2-clause) bsd(?: license)?"
    r"|bsd[ -]2(?:[ -]clause)?(?: license)?",
    "ISC": r"isc license(?: \(iscl\))?",
    "MPL-2.0": r"(?:mozilla public license|mpl)[ ,-]*(?:v|version )?2(?:\.0)?(?: \(mpl 2\.0\))?",
    "PSF-2.0": r"psf|python software foundation(?: license)?",
    "Unlicense": r"the unlicense(?: \(unlicense\))?",
    "CC0-1.0": r"cc0(?: 1\.0)?(?: universal)?",
    "BSL-1.0": r"boost software license(?:,? (?:- )?version 1\.0)?",
    "Zlib": r"zlib(?:/libpng)?(?: license)?",
}
_ALIAS = re.compile("|".join(f"(?P<n{n}>{p})" for n, p in enumerate(_ALIASES.values())))


def identify(content: bytes, coverage: float | None = None) -> str:
    """Returns the SPDX identifiers of a license's text; "" for an unknown one.

    `coverage` is the least share, in percent, of the text that must be a license's.
    """
    text = content[:LONGEST].decode("utf-8", "replace")
    options = {} if coverage is None else {"coverage_threshold": coverage}
    matches = licenseclassifier.identify_license(text, **options)
    return " AND ".join(sorted({match.id for match in matches}))


def to_spdx(name: str) -> str:
    """Returns the SPDX expression that a declaration stands for; "" where it isn't clear.

    Lists with a slash, as in "MIT/Apache-2.0", are alternatives (Cargo's older form).
    """
    name = " ".join(name.split()).removesuffix(".")
    if match := _ALIAS.fullmatch(name.lower()):
        return _canonical(match)
    return licenses.canonical(_GNU.sub(_to_gnu, name).replace("/", " OR "))


def named_at(text: str) -> str:
    """Returns the SPDX identifier of the well-known name that `text` begins with, or ""."""
    match = _ALIAS.match(text.lower())
    ends_word = match and not re.match(r"[\w-]", text[match.end() :])
    return _canonical(match) if match and ends_word else ""


def _canonical(match: re.Match[str]) -> str:
    return list(_ALIASES)[int((match.lastgroup or "n0")[1:])]


def debian_license(content: bytes) -> str:
    """Reads the license of all files from a Debian copyright file, as SPDX (else as `identify`).

    Its format names licenses in its own way (copyright-format 1.0, section 7): "GPL-2+", "Expat".
    """
    text = content[:LONGEST].decode("utf-8", "replace")
    if not (match := _FILES_ALL.search(text)):
        return identify(content)
    expression = _GNU.sub(_to_gnu, match[1]).replace(",", "").replace("Expat", "MIT")
    words = [_OPERATORS.get(word, word) for word in expression.split()]
    return " ".join(licenses.SPELLINGS.get(word.lower(), word) for word in words)


def _to_gnu(name: re.Match[str]) -> str:
    end = "only" if name[4] in (None, "-only") else "or-later"
    return f"{name[1].upper()}-{name[2]}.{name[3] or 0}-{end}"
