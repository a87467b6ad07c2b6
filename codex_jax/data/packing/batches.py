"""Batch n is a pure function of (fingerprint, seed, n), however many hosts and threads read it."""

import collections
import hashlib
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import grain.experimental
import numpy as np

from codex_jax import InputError
from codex_jax.data.packing.pack import positions_of
from codex_jax.data.packing.row_store import RowReader
from codex_jax.data.packing.validation import VALIDATION, ValidationReader
from codex_jax.records import Batch
from codex_jax.remote.paths import to_path

# Rows of a global batch: a slice, or any set of indices, in the order in which they are read.
Share = slice | Sequence[int] | np.ndarray


class BatchReader:
    """Batches of packed rows, by step number; epochs follow each other without a seam."""

    def __init__(self, rows: pathlib.Path | str, *, batch_size: int, seed: int):
        """Opens the packed rows.

        Args:
          rows: Folder of packed rows, which `data` wrote.
          batch_size: rows in a global batch.
          seed: of the order of the rows.

        Raises:
          InputError: the rows are missing or damaged, or `batch_size` isn't positive.
        """
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; expected at least 1")
        self._reader = RowReader(rows)
        self._info = self._reader.info
        self.batch_size = batch_size
        self.seed = seed
        held_out = f"{rows}/{VALIDATION}"
        has_validation = to_path(held_out).is_dir()
        self.validation = (
            ValidationReader(held_out, batch_size=batch_size) if has_validation else None
        )

    @property
    def fingerprint(self) -> str:
        """Hash of the rows' content."""
        return self._info.fingerprint

    @property
    def tokenizer_hash(self) -> str:
        """Hash of the tokenizer that made the ids."""
        return self._info.tokenizer_hash

    @property
    def vocab_size(self) -> int:
        """Number of ids of that tokenizer."""
        return self._info.vocab_size

    @property
    def sequence_length(self) -> int:
        """T, in tokens."""
        return self._info.sequence_length

    @property
    def row_count(self) -> int:
        """Number of rows in an epoch."""
        return self._info.rows

    def row_indices(self, step: int, rows: Share | None = None) -> np.ndarray:
        """Returns int64 (B,): the packed rows in batch `step`, or in the share `rows` of it."""
        share = np.arange(self.batch_size)
        if rows is not None:
            share = share[rows if isinstance(rows, slice) else np.asarray(rows)]
        # Python's integers: a step may be any, an epoch's number too.
        indices = (step * self.batch_size + int(row) for row in share)
        return np.array(
            [self._shuffled(*divmod(index, self.row_count)) for index in indices], np.int64
        )

    def _shuffled(self, epoch: int, index: int) -> int:
        key = hashlib.sha256(f"{self.fingerprint} {self.seed} {epoch}".encode()).digest()
        seed = int.from_bytes(key[:4])
        return grain.experimental.index_shuffle(
            index, max_index=self.row_count - 1, seed=seed, rounds=4
        )

    def batch(self, step: int, rows: Share | None = None) -> Batch:
        """Reads batch `step`: numpy arrays (B, T), or the share `rows` of its rows.

        Raises:
          InputError: a row is missing or fails its checksum.
        """
        arrays = self._reader.read(self.row_indices(step, rows))
        return Batch(positions=positions_of(arrays["segment_ids"]), **arrays)

    def batches(
        self, start: int = 0, rows: Share | None = None, *, workers: int = 2, ahead: int = 4
    ) -> Iterator[Batch]:
        """Yields batches `start`, `start` + 1, … without end, read ahead by threads.

        Args:
          start: first step.
          rows: this host's share of each global batch, a slice or the indices of any rows; all
            of it when absent.
          workers: reading threads; the stream doesn't depend on them.
          ahead: batches read in advance.
        """
        with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
            steps = itertools.count(start)
            ready = collections.deque(
                pool.submit(self.batch, step, rows) for step in itertools.islice(steps, ahead)
            )
            try:
                while True:
                    yield ready.popleft().result()
                    ready.append(pool.submit(self.batch, next(steps), rows))
            finally:
                pool.shutdown(cancel_futures=True)
