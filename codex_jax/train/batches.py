"""Global batches as training reads them, and their arrays on a mesh."""

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import jax
from jax.sharding import Mesh

from codex_jax import sharding
from codex_jax.records import Batch


@runtime_checkable
class BatchShape(Protocol):
    """Sizes of a global batch, and the number of ids of its tokenizer."""

    vocab_size: int
    sequence_length: int
    batch_size: int


@runtime_checkable
class Batches(BatchShape, Protocol):
    """Packed rows: global batch n is a pure function of n."""

    fingerprint: str
    tokenizer_hash: str

    def batches(self, start: int, rows: slice | None = None) -> Iterator[Batch]:
        """Batches `start`, `start` + 1, … without end; of each the slice `rows` of its rows."""
        ...


def local_rows(mesh: Mesh, shape: BatchShape) -> slice:
    """The contiguous rows of a global batch that this process's devices hold."""
    array_shape = (shape.batch_size, shape.sequence_length)
    indices = sharding.batch_sharding(mesh).addressable_devices_indices_map(array_shape).values()
    row_slices = [index[0] for index in indices if index is not None]
    starts = [rows.start or 0 for rows in row_slices]
    stops = [rows.stop or shape.batch_size for rows in row_slices]
    return slice(min(starts), max(stops))


def on_global_batches(step: Callable, mesh: Mesh, batch_size: int) -> Callable:
    """Wraps step(state, batch) to take this process's rows of a batch as numpy arrays."""
    placement = sharding.batch_sharding(mesh)

    def to_global(local_array):
        shape = (batch_size, *local_array.shape[1:])
        return jax.make_array_from_process_local_data(placement, local_array, shape)

    return lambda state, batch: step(state, Batch(*map(to_global, batch)))
