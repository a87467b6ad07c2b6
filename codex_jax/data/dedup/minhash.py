"""Exact and near duplicates: what tells them, and a memory of texts for a stream of them.

`sift` finds those of a corpus that is larger than memory.
"""

import hashlib
import re

import rensa

EXACT, NEAR = "exact duplicate", "near duplicate"
PERMUTATIONS, BANDS = 128, 16
_WORDS = re.compile(r"\w+")
_SHINGLE = 5  # words
_SEED = 1


class Duplicates:
    """Remembers every text it was asked about: 32 bytes each, and about 2.3 KB where `near`.

    Of each set of duplicates, the first that comes is no duplicate.
    """

    def __init__(self, near: float | None = None):
        """`near` is the Jaccard similarity of word 5-grams above which texts are duplicates."""
        self._exact: set[bytes] = set()
        self._near = near and rensa.RMinHashDeduplicator(near, PERMUTATIONS, True, BANDS, _SEED)

    def find(self, text: str) -> str:
        """ "exact duplicate", "near duplicate", or "" for a text not seen before."""
        found = digest(text)
        if found in self._exact:
            return EXACT
        self._exact.add(found)
        if self._near and not self._near.add(found.hex(), sketch(text)):
            return NEAR
        return ""


def digest(text: str) -> bytes:
    """32 bytes that texts share when they differ in whitespace alone."""
    return hashlib.sha256("".join(text.split()).encode()).digest()


def sketch(text: str) -> rensa.RMinHash:
    """MinHash of the text's word 5-grams."""
    words = _WORDS.findall(text)
    shifted = [words[n:] for n in range(_SHINGLE)]
    shingles = list(map(" ".join, zip(*shifted, strict=False)))
    found = rensa.RMinHash(PERMUTATIONS, _SEED)
    found.update(shingles or [" ".join(words)])
    return found
