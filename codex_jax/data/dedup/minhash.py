"""Exact and near duplicates: their keys, and a search in memory over a stream of texts.

`corpus_dedup` searches a corpus that is larger than memory.
"""

import hashlib
import re
from collections.abc import Iterator

import rensa

EXACT, NEAR = "exact duplicate", "near duplicate"
PERMUTATIONS, BANDS = 128, 16
_WORDS = re.compile(r"\w+")
_SHINGLE = 5  # words
_SEED = 1


class InMemoryDedup:
    """Remembers every text it was asked about: 32 bytes each, and about 2.3 KB where `near`.

    Of each set of duplicates, the first that comes is no duplicate.
    """

    def __init__(self, near: float | None = None):
        """`near` is the Jaccard similarity of word 5-grams above which texts are duplicates."""
        self._exact: set[bytes] = set()
        self._near = near and rensa.RMinHashDeduplicator(near, PERMUTATIONS, True, BANDS, _SEED)

    def find(self, text: str, language: str = "") -> str:
        """Returns "exact duplicate", "near duplicate", or "" for a text not seen before."""
        key = digest(text, language)
        if key in self._exact:
            return EXACT
        self._exact.add(key)
        if self._near and not self._near.add(key.hex(), minhash(text)):
            return NEAR
        return ""


def digest(text: str, language: str = "") -> bytes:
    """Hashes a text to 32 bytes, the same for texts that differ in whitespace alone.

    In Python the nesting of lines counts, though not the width of its indentation.
    """
    if language == "Python":
        return hashlib.sha256("\n".join(_nested_lines(text)).encode()).digest()
    return hashlib.sha256("".join(text.split()).encode()).digest()


def _nested_lines(text: str) -> Iterator[str]:
    """Yields each line that isn't blank, without whitespace, after the number of its level."""
    widths = [0]
    for line in text.expandtabs().splitlines():
        words = line.split()
        if not words:
            continue
        width = len(line) - len(line.lstrip())
        while width < widths[-1]:
            widths.pop()
        if width > widths[-1]:
            widths.append(width)
        yield f"{len(widths)} {''.join(words)}"


def minhash(text: str) -> rensa.RMinHash:
    """Computes the MinHash of the text's word 5-grams."""
    words = _WORDS.findall(text)
    shifted = [words[n:] for n in range(_SHINGLE)]
    shingles = list(map(" ".join, zip(*shifted, strict=False)))
    sketch = rensa.RMinHash(PERMUTATIONS, _SEED)
    sketch.update(shingles or [" ".join(words)])
    return sketch
