"""Exact and near duplicates: their keys, and a search in memory over a stream of texts.

`corpus_dedup` searches a corpus that is larger than memory.
"""

import hashlib
import re

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

    def find(self, text: str) -> str:
        """Returns "exact duplicate", "near duplicate", or "" for a text not seen before."""
        key = digest(text)
        if key in self._exact:
            return EXACT
        self._exact.add(key)
        if self._near and not self._near.add(key.hex(), minhash(text)):
            return NEAR
        return ""


def digest(text: str) -> bytes:
    """Hashes a text to 32 bytes, the same for texts that differ in whitespace alone."""
    return hashlib.sha256("".join(text.split()).encode()).digest()


def minhash(text: str) -> rensa.RMinHash:
    """Computes the MinHash of the text's word 5-grams."""
    words = _WORDS.findall(text)
    shifted = [words[n:] for n in range(_SHINGLE)]
    shingles = list(map(" ".join, zip(*shifted, strict=False)))
    sketch = rensa.RMinHash(PERMUTATIONS, _SEED)
    sketch.update(shingles or [" ".join(words)])
    return sketch
