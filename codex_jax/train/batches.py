"""Global batches as training reads them, and their arrays on a mesh."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
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
class RowSource(BatchShape, Protocol):
    """Rows by their sizes and their origin, of which a checkpoint's card tells."""

    fingerprint: str
    tokenizer_hash: str
    seed: int  # of the order of the rows


@runtime_checkable
class Batches(RowSource, Protocol):
    """Packed rows: global batch n is a pure function of n."""

    def batches(self, start: int, rows: np.ndarray | None = None) -> Iterator[Batch]:
        """Batches `start`, `start` + 1, … without end; of each the rows of these indices."""
        ...


def host_rows(mesh: Mesh, shape: BatchShape, *, process: int | None = None) -> np.ndarray:
    """Rows of a global batch that the devices of a process hold, any of the batch's.

    A mesh orders devices by their wires, so that a host's rows are no contiguous run: on a v5e of
    4 × 4 chips, host 0 holds parts 0, 1, 6 and 15. Hosts that share a part (their devices differ
    in tensor or context alone) both read it.

    Args:
      mesh: The devices of all processes.
      shape: The global batch.
      process: Index of the process (default: this one).

    Returns:
      int64 (rows,): ascending indices into the global batch.
    """
    process = jax.process_index() if process is None else process
    array_shape = (shape.batch_size, shape.sequence_length)
    parts: Mapping[Any, Any] = sharding.batch_sharding(mesh).devices_indices_map(array_shape)
    is_read = np.zeros(shape.batch_size, bool)
    for device, index in parts.items():
        if device.process_index == process:
            is_read[index[0]] = True
    return np.flatnonzero(is_read)


def on_global_batches(step: Callable, mesh: Mesh, shape: BatchShape) -> Callable:
    """Wraps step(state, batch) to take this process's rows of a batch as numpy arrays."""
    placement = sharding.batch_sharding(mesh)
    position = np.full(shape.batch_size, -1)  # of a row of the global batch, among this process's
    rows = host_rows(mesh, shape)
    position[rows] = np.arange(len(rows))

    def to_global(local_array: Any) -> jax.Array:
        def part(index: Any) -> Any:
            return local_array[(position[index[0]], *index[1:])]

        global_shape = (shape.batch_size, *local_array.shape[1:])
        return jax.make_array_from_callback(global_shape, placement, part)

    return lambda state, batch: step(state, type(batch)(*map(to_global, batch)))
