"""Multiset of tokens in = multiset out; seqio's own packing, on the same documents, loses some."""

import collections

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from codex_jax.data.packing.pack import pack, positions_of, rows_to_batch, split_document

VOCABULARY, EOS, NEWLINE = 12, 11, 5
NEWLINE_MASK = np.arange(VOCABULARY) == NEWLINE

documents = st.lists(
    st.lists(st.integers(0, EOS - 1), max_size=40).map(lambda ids: np.array(ids, np.int32)),
    max_size=30,
)


def _pack(texts, length, max_open_rows=1024):
    segments = (
        segment
        for ids in texts
        for segment in split_document(
            ids, sequence_length=length, eos_id=EOS, newline_mask=NEWLINE_MASK
        )
    )
    return rows_to_batch(
        list(pack(segments, sequence_length=length, max_open_rows=max_open_rows)), length
    )


def _count(arrays) -> collections.Counter:
    return collections.Counter(token for array in arrays for token in array.tolist())


@hypothesis.given(texts=documents, length=st.integers(2, 24), max_open_rows=st.integers(1, 8))
def test_every_token_is_a_target_exactly_once(texts, length, max_open_rows):
    batch = _pack(texts, length, max_open_rows)
    expected = _count(texts) + collections.Counter({EOS: len(texts)})
    real = batch.segment_ids > 0
    assert _count([batch.targets[real]]) == expected
    assert batch.loss_weights.sum() == real.sum() == expected.total()


@hypothesis.given(texts=documents, length=st.integers(2, 24))
def test_segments_put_together_are_the_documents(texts, length):
    batch = _pack(texts, length)
    counts: collections.Counter[tuple[int, ...]] = collections.Counter()
    for row in range(len(batch.tokens)):
        for number in range(1, batch.segment_ids[row].max() + 1):
            mask = batch.segment_ids[row] == number
            tokens, targets = batch.tokens[row][mask], batch.targets[row][mask]
            assert (tokens[1:] == targets[:-1]).all()
            assert (batch.positions[row][mask] == np.arange(mask.sum())).all()
            counts[(tokens[0], *targets)] += 1
    expected = collections.Counter(
        (segment.tokens[0], *segment.targets)
        for ids in texts
        for segment in split_document(
            ids, sequence_length=length, eos_id=EOS, newline_mask=NEWLINE_MASK
        )
    )
    assert counts == expected


@hypothesis.given(ids=documents, length=st.integers(2, 24))
def test_a_continuation_begins_with_the_token_before_it(ids, length):
    for text in ids:
        segments = list(
            split_document(text, sequence_length=length, eos_id=EOS, newline_mask=NEWLINE_MASK)
        )
        assert np.concatenate([segment.targets for segment in segments]).tolist() == [*text, EOS]
        assert np.concatenate([segment.tokens for segment in segments]).tolist() == [EOS, *text]
        assert all(0 < len(segment) <= length for segment in segments)


def test_long_documents_are_cut_after_a_line_end():
    text = np.array([1, 2, 3, 4, 1, NEWLINE, 1, 2, 3, 4], np.int32)
    sizes = [
        len(segment)
        for segment in split_document(
            text, sequence_length=8, eos_id=EOS, newline_mask=NEWLINE_MASK
        )
    ]
    assert sizes == [6, 5]
    early = np.array([1, NEWLINE, *[2] * 10], np.int32)  # half of a row would be wasted
    first = next(split_document(early, sequence_length=8, eos_id=EOS, newline_mask=NEWLINE_MASK))
    assert len(first) == 8


def test_best_fit_fills_the_tightest_room():
    texts = [np.full(n - 1, 1, np.int32) for n in (5, 7, 3, 1, 2)]
    batch = _pack(texts, 8)
    sizes = sorted(np.bincount(row)[1:].tolist() for row in batch.segment_ids)
    assert sizes == [[2], [5, 3], [7, 1]]


def test_more_max_open_rows_pack_tighter():
    sizes = np.random.default_rng(0).integers(1, 50, 2000)
    texts = [np.ones(n, np.int32) for n in sizes]
    loose, tight = ((_pack(texts, 64, rows).segment_ids > 0).mean() for rows in (1, 256))
    assert loose < 0.9 < 0.97 < tight


def test_loss_weights_follow_their_tokens():
    ids = np.arange(1, 9, dtype=np.int32)
    weights = (ids % 2).astype(np.float32)
    segments = split_document(
        ids, sequence_length=4, eos_id=EOS, newline_mask=NEWLINE_MASK, weights=weights
    )
    pairs = [pair for s in segments for pair in zip(s.targets.tolist(), s.weights, strict=True)]
    assert pairs == [*zip(ids.tolist(), weights, strict=True), (EOS, 1.0)]


def test_positions_begin_anew_in_each_segment():
    segments = np.array([[1, 1, 1, 2, 2, 3, 0, 0], [1, 2, 3, 4, 4, 4, 4, 4]])
    expected = [[0, 1, 2, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 2, 3, 4]]
    assert positions_of(segments).tolist() == expected


def test_seqio_loses_tokens_that_our_packing_retains():
    """Its packing takes id 0 for padding and truncates long documents: why we pack ourselves."""
    seqio = pytest.importorskip("seqio")
    import tensorflow as tf

    texts = [[3, 0, 4, 0], [0, 0, 7], list(range(1, 11)) * 2]
    dataset = tf.data.Dataset.from_generator(
        lambda: ({"targets": text} for text in texts),
        output_signature={"targets": tf.TensorSpec([None], tf.int32)},
    )
    packed = seqio.utils.trim_and_pack_dataset(dataset, {"targets": 16}, use_custom_ops=False)
    packed_counts = collections.Counter()
    for row in packed.as_numpy_iterator():
        packed_counts.update(row["targets"][row["targets_segment_ids"] > 0].tolist())
    expected = collections.Counter(token for text in texts for token in text)
    assert packed_counts != expected
    assert packed_counts[0] == 0
    assert packed_counts.total() < expected.total()

    batch = _pack([np.array(text, np.int32) for text in texts], 16)
    assert _count([batch.targets[batch.segment_ids > 0]]) == expected + collections.Counter(
        {EOS: len(texts)}
    )
