"""Batches of the validation split: rows of each Task by themselves, in their order, once."""

import pathlib
from collections.abc import Iterator

import numpy as np

from codex_jax.data.packing.pack import positions_of
from codex_jax.data.packing.row_store import RowReader, read_token_bytes
from codex_jax.records import Batch

VALIDATION = "validation"  # a folder of rows within the folder of the train split's rows


class ValidationReader:
    """Rows of the validation split, by Task."""

    def __init__(self, rows: pathlib.Path | str, *, batch_size: int):
        """Opens the folder `validation` of packed rows.

        Raises:
          InputError: the rows are missing or damaged.
        """
        self._reader = RowReader(rows)
        self._ranges = {
            name: range(*counts["rows"])
            for name, counts in self._reader.info.sources.items()
            if counts["rows"][1] > counts["rows"][0]
        }
        self.vocab_size = self._reader.info.vocab_size
        self.sequence_length = self._reader.info.sequence_length
        self.batch_size = batch_size
        self.token_bytes = read_token_bytes(rows)

    @property
    def tasks(self) -> list[str]:
        """Names of the Tasks that have rows here."""
        return list(self._ranges)

    def task_batches(self, task: str, rows: np.ndarray | slice | None = None) -> Iterator[Batch]:
        """Yields a Task's batches, the last filled up with padding; of each the share `rows`.

        Raises:
          InputError: a row is missing or fails its checksum.
        """
        indices = np.array(self._ranges[task], np.int64)
        for start in range(0, len(indices), self.batch_size):
            chunk = np.full(self.batch_size, -1, np.int64)
            batch_indices = indices[start : start + self.batch_size]
            chunk[: len(batch_indices)] = batch_indices
            yield self._read(chunk if rows is None else chunk[rows])

    def _read(self, indices: np.ndarray) -> Batch:
        """Reads rows; -1 is a row of padding."""
        arrays = self._reader.read(np.maximum(indices, 0))
        for array in arrays.values():
            array[indices < 0] = 0
        return Batch(positions=positions_of(arrays["segment_ids"]), **arrays)
