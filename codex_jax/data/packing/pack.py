"""Documents → rows of fixed length, losing and inventing no token.

A document d1…dn is n+1 predictions: from end-of-text to d1, …, from dn to end-of-text. A long one
is split at line ends, and the first input of a continuation is the last token before it, so every
token is a target exactly once. Padding is known by its segment id 0, never by its token id.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from codex_jax import InputError
from codex_jax.records import Batch

_LONGEST_ROW = 1 << 20  # tokens
_MOST_TRIES = 4096  # rows looked at for a copy of a document, before a new one is opened


@dataclasses.dataclass(frozen=True)
class Segment:
    """A document or a stretch of one, already shifted; each array has shape (n,)."""

    tokens: np.ndarray  # int32
    targets: np.ndarray  # int32
    weights: np.ndarray  # float32
    document: int = -1  # number of a document that is repeated; -1 where it isn't

    def __len__(self) -> int:
        return len(self.targets)


def split_document(
    ids: np.ndarray,
    *,
    sequence_length: int,
    eos_id: int,
    newline_mask: np.ndarray,
    weights: np.ndarray | None = None,
    document: int = -1,
) -> Iterator[Segment]:
    """Cuts a document's predictions into segments of at most `sequence_length`.

    Args:
      ids: int32 (n,), the document's tokens, without end of text.
      sequence_length: longest segment, in tokens.
      eos_id: the end-of-text token.
      newline_mask: bool (V,), tokens after which to cut if possible.
      weights: float32 (n,), loss weights of the tokens; 1 when absent. End of text weighs 1.
      document: number of the document, where copies of it exist.
    """
    end = np.array([eos_id], np.int32)
    inputs = np.concatenate([end, ids]).astype(np.int32)
    targets = np.concatenate([ids, end]).astype(np.int32)
    id_weights = np.ones(len(ids)) if weights is None else weights
    loss = np.concatenate([id_weights, [1.0]]).astype(np.float32)
    start = 0
    while start < len(targets):
        stop = start + _segment_length(
            newline_mask[targets[start : start + sequence_length]], sequence_length
        )
        yield Segment(inputs[start:stop], targets[start:stop], loss[start:stop], document)
        start = stop


def _segment_length(line_ends: np.ndarray, sequence_length: int) -> int:
    """Returns the next segment's length: to its last line end, unless that wastes half of a row."""
    if len(line_ends) < sequence_length:
        return len(line_ends)
    tail = line_ends[sequence_length // 2 :][::-1]
    return sequence_length - int(tail.argmax()) if tail.any() else sequence_length


def check_sequence_length(sequence_length: int) -> None:
    """Raises InputError where no row can be of so many tokens."""
    if not 2 <= sequence_length <= _LONGEST_ROW:
        raise InputError(
            f"sequence_length is {sequence_length}; expected at least 2, at most {_LONGEST_ROW:,}"
        )


def pack(
    segments: Iterable[Segment], *, sequence_length: int, max_open_rows: int = 4096
) -> Iterator[list[Segment]]:
    """Packs each segment where it leaves the least room; yields rows as they are closed.

    At most `max_open_rows` rows stay open; beyond that the fullest is closed. Rows of equal room
    are used in the order in which they reached it, so the result depends on the segments alone.
    Copies of a document come into different rows, which the order of reading then spreads.
    """
    by_room: list[list[list[Segment]]] = [[] for _ in range(sequence_length + 1)]
    rooms = 0  # bit r is set where some open row has room for r more tokens
    open_count = 0
    for segment in segments:
        size = len(segment)
        room, index = _find_row(segment, rooms >> size << size, by_room)
        if index >= 0:
            row = by_room[room].pop(index)
            rooms &= ~(1 << room) if not by_room[room] else -1
        else:
            row, room = [], sequence_length
            open_count += 1
        row.append(segment)
        if size == room:
            open_count -= 1
            yield row
            continue
        by_room[room - size].append(row)
        rooms |= 1 << (room - size)
        if open_count > max_open_rows:
            fullest = (rooms & -rooms).bit_length() - 1
            open_count -= 1
            yield by_room[fullest].pop(0)
            rooms &= ~(1 << fullest) if not by_room[fullest] else -1
    for rows in by_room:
        yield from rows


def _find_row(
    segment: Segment, rooms: int, by_room: Sequence[Sequence[Sequence[Segment]]]
) -> tuple[int, int]:
    """Returns (room, index) of the fullest row for a segment, (0, -1) where there is none.

    Args:
      segment: its document must not be in the row yet.
      rooms: bit r is set where some open row has room for r more tokens, which suffice.
      by_room: the open rows.
    """
    tries = 0
    while rooms and tries < _MOST_TRIES:
        room = (rooms & -rooms).bit_length() - 1
        for index, row in enumerate(by_room[room]):
            if segment.document < 0 or all(segment.document != s.document for s in row):
                return room, index
            tries += 1
        rooms &= rooms - 1
    return 0, -1


def rows_to_batch(rows: Sequence[Sequence[Segment]], sequence_length: int) -> Batch:
    """Returns rows of segments as arrays (len(rows), T), padded at the right."""
    shape = (len(rows), sequence_length)
    tokens, targets, segment_ids = (np.zeros(shape, np.int32) for _ in range(3))
    weights = np.zeros(shape, np.float32)
    for n, row in enumerate(rows):
        start = 0
        for number, segment in enumerate(row, 1):
            span = np.s_[n, start : start + len(segment)]
            tokens[span], targets[span] = segment.tokens, segment.targets
            weights[span] = segment.weights
            segment_ids[span] = number
            start += len(segment)
    return Batch(tokens, targets, segment_ids, positions_of(segment_ids), weights)


def positions_of(segment_ids: np.ndarray) -> np.ndarray:
    """Returns int32 (B, T): the index of each token in its segment; 0 on padding."""
    index = np.arange(segment_ids.shape[1], dtype=np.int32)
    starts = np.diff(segment_ids, axis=1, prepend=0) != 0
    begun = np.maximum.accumulate(np.where(starts, index, 0), axis=1)
    return np.where(segment_ids > 0, index - begun, 0).astype(np.int32)
