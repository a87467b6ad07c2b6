"""Duplicates among any number of documents, in bounded memory: sorted on disk, key by key.

A document has one key of its content and one for each band of its MinHash (Broder 1997; bands as in
Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4). Each key is a column in a file of
its own; equal keys of a column are brought together by sorting the column, in parts where it is
long, and the sketches of those that share a band are compared. A document is a duplicate if it
resembles an earlier one, whether or not that is one itself.
"""

import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

from codex_jax.data.dedup.minhash import BANDS, EXACT, NEAR, PERMUTATIONS

DUPLICATE_LABELS = ("", EXACT, NEAR)
_KEYS_IN_MEMORY = 1 << 25  # about 1 GB while they are sorted
_PAIRS_IN_MEMORY = 1 << 15  # 256 MB at most, a page of the disk for each sketch
_NEIGHBORS = 4  # a document is compared with the first of its key and this many just before it
_ROWS_IN_BAND = PERMUTATIONS // BANDS


class CorpusDedup:
    """Keys and sketches of documents, appended in their order, then compared."""

    def __init__(self, folder: pathlib.Path, *, exact: bool, near: float | None):
        """`folder` holds the columns: 8 bytes a document, and 640 more where `near` is set."""
        folder.mkdir(parents=True)
        self._exact, self._near = exact, near
        self._columns = [folder / f"{n}.keys" for n in range(1 + (BANDS if near else 0))]
        self._sketches = folder / "sketches"
        self._count = 0

    def add(self, digests: np.ndarray, sketches: np.ndarray) -> None:
        """Appends documents.

        Args:
          digests: uint64 (n,), keys of their content.
          sketches: uint32 (n, 128), their MinHashes; (n, 0) without `near`.
        """
        keys = [digests, *(_band_key(sketches, band) for band in range(len(self._columns) - 1))]
        for path, column in zip(self._columns, keys, strict=True):
            _append(path, column)
        _append(self._sketches, sketches)
        self._count += len(digests)

    def labels(self) -> np.ndarray:
        """Returns uint8 (documents,): an index of `DUPLICATE_LABELS` for each."""
        labels = np.zeros(self._count, np.uint8)
        for number, path in enumerate(self._columns if self._count else ()):
            for order, first in _runs(path, self._count):
                if number:
                    self._compare(order, first, labels)
                elif self._exact:
                    repeated = order[first < np.arange(len(order))]
                    labels[repeated] = DUPLICATE_LABELS.index(EXACT)
        return labels

    def _compare(self, order: np.ndarray, first: np.ndarray, labels: np.ndarray) -> None:
        """Labels documents whose sketch is near to an earlier one's in the same run."""
        indices = np.arange(len(order))
        for other in (first, *(indices - back for back in range(1, _NEIGHBORS + 1))):
            same_run = (other >= first) & (other < indices) & (labels[order] == 0)
            pairs = np.stack([order[other[same_run]], order[same_run]], axis=1)
            for start in range(0, len(pairs), _PAIRS_IN_MEMORY):
                chunk = pairs[start : start + _PAIRS_IN_MEMORY]
                # A map of its own each time, so that its pages leave memory again.
                sketches = np.memmap(self._sketches, np.uint32).reshape(-1, PERMUTATIONS)
                similarity = (sketches[chunk[:, 0]] == sketches[chunk[:, 1]]).mean(axis=1)
                labels[chunk[similarity >= self._near, 1]] = DUPLICATE_LABELS.index(NEAR)


def _band_key(sketches: np.ndarray, band: int) -> np.ndarray:
    key = np.zeros(len(sketches), np.uint64)
    for column in sketches[:, band * _ROWS_IN_BAND : (band + 1) * _ROWS_IN_BAND].T:
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key


def _append(path: pathlib.Path, array: np.ndarray) -> None:
    with path.open("ab") as out:
        out.write(np.ascontiguousarray(array).data)


def _runs(path: pathlib.Path, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (documents by key and then by order, index of the first of each run), in parts."""
    parts = 1 + count // _KEYS_IN_MEMORY
    for part in range(parts):
        keys, numbers = map(np.concatenate, zip(*_read(path, part, parts), strict=True))
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        begins = np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]
        yield numbers[order], np.maximum.accumulate(np.where(begins, np.arange(len(keys)), 0))


def _read(path: pathlib.Path, part: int, parts: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Yields the keys that belong to a part, with their documents' numbers."""
    start = 0
    with path.open("rb") as column:
        while len(keys := np.fromfile(column, np.uint64, _KEYS_IN_MEMORY)):
            selected = np.flatnonzero(keys % np.uint64(parts) == part)
            yield keys[selected], selected + start
            start += len(keys)
