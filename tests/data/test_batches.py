"""One stream of batches, whoever reads it: any hosts, any workers, from any step."""

import hashlib
import itertools
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_jax import InputError
from codex_jax.data.packing.batches import BatchReader
from codex_jax.records import Batch

B = 8


def _hash(batches) -> str:
    digest = hashlib.sha256()
    for batch in batches:
        for array in batch:
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _global(parts: list[Batch]) -> Batch:
    return Batch(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@pytest.fixture(scope="module")
def stream(cache) -> list[Batch]:
    """More than three epochs."""
    reader = BatchReader(cache, batch_size=B, seed=3)
    steps = 3 * reader.rows // B + 3
    return [reader.batch(step) for step in range(steps)]


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_stream_is_the_same_for_any_hosts_and_workers(cache, stream, hosts, workers):
    share = B // hosts
    readers = [
        BatchReader(cache, batch_size=B, seed=3).batches(
            0, slice(host * share, (host + 1) * share), workers=workers
        )
        for host in range(hosts)
    ]
    steps = zip(*readers, strict=True)
    found = (_global(list(parts)) for parts in itertools.islice(steps, len(stream)))
    assert _hash(found) == _hash(stream)


@settings(max_examples=20, deadline=None)
@given(start=st.integers(0, 25), seed_of_process=st.integers(0, 2**31))
def test_resuming_needs_only_the_step(cache, stream, start, seed_of_process):
    np.random.seed(seed_of_process)
    reader = BatchReader(cache, batch_size=B, seed=3)
    resumed = itertools.islice(reader.batches(start), max(len(stream) - start, 0))
    assert _hash(resumed) == _hash(stream[start:])


def test_each_epoch_reads_every_row_once_in_another_order(cache):
    reader = BatchReader(cache, batch_size=1, seed=3)
    epochs = [
        [int(reader.row_indices(epoch * reader.rows + n)[0]) for n in range(reader.rows)]
        for epoch in range(3)
    ]
    assert all(sorted(epoch) == list(range(reader.rows)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    other = BatchReader(cache, batch_size=1, seed=4)
    assert [int(other.row_indices(n)[0]) for n in range(reader.rows)] != epochs[0]


def test_batches_are_what_records_promises(cache, tokenizer):
    reader = BatchReader(cache, batch_size=B, seed=0)
    batch = reader.batch(0)
    assert {array.shape for array in batch} == {(B, reader.sequence_length)}
    assert [str(a.dtype) for a in batch] == ["int32"] * 4 + ["float32"]
    assert ((batch.segment_ids > 0) == (batch.loss_weights > 0)).all()
    assert reader.tokenizer_hash == tokenizer.hash
    assert reader.vocab_size == tokenizer.vocab_size
    inside = batch.positions[:, 1:] > 0
    assert (batch.tokens[:, 1:] == batch.targets[:, :-1])[inside].all()


def _cut_a_file(cache):
    victim = next(path for path in sorted(cache.glob("targets/c/**/*")) if path.is_file())
    victim.write_bytes(victim.read_bytes()[:-100])


def _flip_a_bit(cache):
    victim = next(path for path in sorted(cache.glob("tokens/c/**/*")) if path.is_file())
    content = bytearray(victim.read_bytes())
    content[20] ^= 1
    victim.write_bytes(content)


def _lose_a_file(cache):
    next(path for path in cache.glob("segment_ids/c/**/*") if path.is_file()).unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda cache: shutil.rmtree(cache), "no packed cache here"),
        (lambda cache: (cache / "meta.json").write_text("{"), "damaged"),
        (lambda cache: (cache / "meta.json").write_text('{"format": "x"}'), "another format"),
        (lambda cache: (cache / "meta.json").write_text("[]"), "damaged"),
        (lambda cache: shutil.rmtree(cache / "tokens"), "tokens can't be opened"),
        (_cut_a_file, "a row can't be read"),
        (_flip_a_bit, "a row can't be read"),
        (_lose_a_file, "a row can't be read"),
    ],
)
def test_a_damaged_cache_is_one_line(cache, tmp_path, spoil, message):
    copy = tmp_path / "copy"
    shutil.copytree(cache, copy)
    spoil(copy)
    with pytest.raises(InputError, match=message) as error:
        reader = BatchReader(copy, batch_size=B, seed=0)
        for step in range(reader.rows // B + 1):
            reader.batch(step)
    assert "\n" not in str(error.value)


def test_a_batch_needs_a_row(cache):
    with pytest.raises(InputError, match="batch_size is 0"):
        BatchReader(cache, batch_size=0, seed=0)


def test_reading_loads_neither_tensorflow_nor_seqio(cache):
    program = (
        "import sys\n"
        "from codex_jax.data.packing.batches import BatchReader\n"
        f"BatchReader({str(cache)!r}, batch_size=2, seed=0).batch(0)\n"
        "print(sorted({'tensorflow', 'seqio', 'tokenizers'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
