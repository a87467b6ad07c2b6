"""The stream of batches is the same for any hosts, any workers, from any step."""

import hashlib
import itertools
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from codex_jax import InputError
from codex_jax.data.packing.batches import BatchReader
from codex_jax.records import Batch

B = 8


def _hash(batches) -> str:
    digest = hashlib.sha256()
    for batch in batches:
        for array in batch:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _global(parts: list[Batch]) -> Batch:
    return Batch(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@pytest.fixture(scope="module")
def stream(rows) -> list[Batch]:
    """More than three epochs."""
    reader = BatchReader(rows, batch_size=B, seed=3)
    steps = 3 * reader.row_count // B + 3
    return [reader.batch(step) for step in range(steps)]


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_stream_is_the_same_for_any_hosts_and_workers(rows, stream, hosts, workers):
    share = B // hosts
    readers = [
        BatchReader(rows, batch_size=B, seed=3).batches(
            0, slice(host * share, (host + 1) * share), workers=workers
        )
        for host in range(hosts)
    ]
    steps = zip(*readers, strict=True)
    global_batches = (_global(list(parts)) for parts in itertools.islice(steps, len(stream)))
    assert _hash(global_batches) == _hash(stream)


@pytest.mark.parametrize("rows_of_host", [[0, 1, 6], [7, 2], np.array([5]), (3, 0, 4)])
def test_a_host_reads_any_rows_of_a_batch(rows, stream, rows_of_host):
    reader = BatchReader(rows, batch_size=B, seed=3)
    expected = [Batch(*(array[list(rows_of_host)] for array in batch)) for batch in stream[2:6]]
    assert _hash(itertools.islice(reader.batches(2, rows_of_host), 4)) == _hash(expected)


@settings(max_examples=20)
@hypothesis.given(start=st.integers(0, 25), seed_of_process=st.integers(0, 2**31))
def test_resuming_needs_only_the_step(rows, stream, start, seed_of_process):
    np.random.seed(seed_of_process)
    reader = BatchReader(rows, batch_size=B, seed=3)
    resumed = itertools.islice(reader.batches(start), max(len(stream) - start, 0))
    assert _hash(resumed) == _hash(stream[start:])


def test_each_epoch_reads_every_row_once_in_another_order(rows):
    reader = BatchReader(rows, batch_size=1, seed=3)
    epochs = [
        [int(reader.row_indices(epoch * reader.row_count + n)[0]) for n in range(reader.row_count)]
        for epoch in range(3)
    ]
    assert all(sorted(epoch) == list(range(reader.row_count)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    other = BatchReader(rows, batch_size=1, seed=4)
    assert [int(other.row_indices(n)[0]) for n in range(reader.row_count)] != epochs[0]


def test_batches_are_what_records_promises(rows, tokenizer):
    reader = BatchReader(rows, batch_size=B, seed=0)
    batch = reader.batch(0)
    assert {array.shape for array in batch} == {(B, reader.sequence_length)}
    assert [str(a.dtype) for a in batch] == ["int32"] * 4 + ["float32"]
    assert ((batch.segment_ids > 0) == (batch.loss_weights > 0)).all()
    assert reader.tokenizer_hash == tokenizer.hash
    assert reader.vocab_size == tokenizer.vocab_size
    inside = batch.positions[:, 1:] > 0
    assert (batch.tokens[:, 1:] == batch.targets[:, :-1])[inside].all()


def test_a_batch_needs_a_row(rows):
    with pytest.raises(InputError, match="batch_size is 0"):
        BatchReader(rows, batch_size=0, seed=0)


def test_reading_loads_neither_tensorflow_nor_seqio(rows):
    program = (
        "import sys\n"
        "from codex_jax.data.packing.batches import BatchReader\n"
        f"BatchReader({str(rows)!r}, batch_size=2, seed=0).batch(0)\n"
        "print(sorted({'tensorflow', 'seqio', 'tokenizers'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
