"""Exact and near duplicates; of each set the first that comes is kept."""

import hashlib
import re

import rensa

_WORDS = re.compile(r"\w+")
_SHINGLE = 5  # words
_PERMUTATIONS, _BANDS, _SEED = 128, 16, 1


class Duplicates:
    """Remembers every text it was asked about: 32 bytes each, and about 2.3 KB where `near`."""

    def __init__(self, near: float | None = None):
        """`near` is the Jaccard similarity of word 5-grams above which texts are duplicates."""
        self._exact: set[bytes] = set()
        self._near = near and rensa.RMinHashDeduplicator(near, _PERMUTATIONS, True, _BANDS, _SEED)

    def find(self, text: str) -> str:
        """ "exact duplicate", "near duplicate", or "" for a text not seen before."""
        digest = hashlib.sha256("".join(text.split()).encode()).digest()
        if digest in self._exact:
            return "exact duplicate"
        self._exact.add(digest)
        if self._near and not self._near.add(digest.hex(), _sketch(text)):
            return "near duplicate"
        return ""


def _sketch(text: str) -> rensa.RMinHash:
    words = _WORDS.findall(text)
    shifted = [words[n:] for n in range(_SHINGLE)]
    shingles = list(map(" ".join, zip(*shifted, strict=False)))
    sketch = rensa.RMinHash(_PERMUTATIONS, _SEED)
    sketch.update(shingles or [" ".join(words)])
    return sketch
