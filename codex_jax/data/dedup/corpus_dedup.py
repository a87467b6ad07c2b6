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

KINDS = ("", EXACT, NEAR)
_SORTED_AT_ONCE = 1 << 25  # keys: about 1 GB while they are sorted
_COMPARED_AT_ONCE = 1 << 15  # pairs: 256 MB at most, a page of the disk for each sketch
_BACK = 4  # a document is compared with the first of its key and so many just before it
_ROW = PERMUTATIONS // BANDS


class Sieve:
    """Keys and sketches of documents, appended in their order, then compared."""

    def __init__(self, folder: pathlib.Path, *, exact: bool, near: float | None):
        """`folder` holds the columns: 8 bytes a document, and 640 more where `near` is given."""
        folder.mkdir(parents=True)
        self._exact, self._near = exact, near
        self._columns = [folder / f"{n}.keys" for n in range(1 + (BANDS if near else 0))]
        self._sketches = folder / "sketches"
        self._count = 0

    def add(self, digests: np.ndarray, sketches: np.ndarray) -> None:
        """Documents: uint64 (n,) of their content, uint32 (n, 128); (n, 0) without `near`."""
        keys = [digests, *(_key(sketches, band) for band in range(len(self._columns) - 1))]
        for path, column in zip(self._columns, keys, strict=True):
            _append(path, column)
        _append(self._sketches, sketches)
        self._count += len(digests)

    def kinds(self) -> np.ndarray:
        """uint8 (documents,): an index of `KINDS` for each."""
        found = np.zeros(self._count, np.uint8)
        for number, path in enumerate(self._columns if self._count else ()):
            for order, first in _runs(path, self._count):
                if number:
                    self._compare(order, first, found)
                elif self._exact:
                    found[order[first < np.arange(len(order))]] = KINDS.index(EXACT)
        return found

    def _compare(self, order: np.ndarray, first: np.ndarray, found: np.ndarray) -> None:
        """Marks those whose sketch is near to one before it in the same run."""
        places = np.arange(len(order))
        for other in (first, *(places - back for back in range(1, _BACK + 1))):
            same = (other >= first) & (other < places) & (found[order] == 0)
            pairs = np.stack([order[other[same]], order[same]], axis=1)
            for start in range(0, len(pairs), _COMPARED_AT_ONCE):
                chunk = pairs[start : start + _COMPARED_AT_ONCE]
                # A map of its own each time, so that its pages leave memory again.
                every = np.memmap(self._sketches, np.uint32).reshape(-1, PERMUTATIONS)
                alike = (every[chunk[:, 0]] == every[chunk[:, 1]]).mean(axis=1)
                found[chunk[alike >= self._near, 1]] = KINDS.index(NEAR)


def _key(sketches: np.ndarray, band: int) -> np.ndarray:
    key = np.zeros(len(sketches), np.uint64)
    for column in sketches[:, band * _ROW : (band + 1) * _ROW].T:
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key


def _append(path: pathlib.Path, array: np.ndarray) -> None:
    with path.open("ab") as out:
        out.write(np.ascontiguousarray(array))


def _runs(path: pathlib.Path, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(documents by key and then by order, place of the first of each one's run), in parts."""
    parts = 1 + count // _SORTED_AT_ONCE
    for part in range(parts):
        keys, numbers = map(np.concatenate, zip(*_read(path, part, parts), strict=True))
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        begins = np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]
        yield numbers[order], np.maximum.accumulate(np.where(begins, np.arange(len(keys)), 0))


def _read(path: pathlib.Path, part: int, parts: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """The keys that belong to a part, with their documents' numbers."""
    start = 0
    with path.open("rb") as column:
        while len(keys := np.fromfile(column, np.uint64, _SORTED_AT_ONCE)):
            mine = np.flatnonzero(keys % np.uint64(parts) == part)
            yield keys[mine], mine + start
            start += len(keys)
