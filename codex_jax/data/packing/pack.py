"""Documents → rows of fixed length, losing and inventing no token.

A document d1…dn is n+1 predictions: from end-of-text to d1, …, from dn to end-of-text. A long one
is split at line ends, and the first input of a continuation is the last token before it, so every
token is a target exactly once. Padding is known by its segment id 0, never by its token id.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from codex_jax.records import Batch


@dataclasses.dataclass(frozen=True)
class Piece:
    """A document or a stretch of one, already shifted; each array has shape (n,)."""

    tokens: np.ndarray  # int32
    targets: np.ndarray  # int32
    weights: np.ndarray  # float32

    def __len__(self) -> int:
        return len(self.targets)


def split_document(
    ids: np.ndarray,
    *,
    sequence_length: int,
    eos_id: int,
    ends_line: np.ndarray,
    weights: np.ndarray | None = None,
) -> Iterator[Piece]:
    """Cuts one document's predictions into pieces of at most `sequence_length`.

    Args:
      ids: int32 (n,), the document's tokens, without end of text.
      sequence_length: longest piece, in tokens.
      eos_id: the end-of-text token.
      ends_line: bool (V,), tokens after which a cut is welcome.
      weights: float32 (n,), loss weights of the tokens; 1 when absent. End of text weighs 1.
    """
    end = np.array([eos_id], np.int32)
    inputs = np.concatenate([end, ids]).astype(np.int32)
    targets = np.concatenate([ids, end]).astype(np.int32)
    of_ids = np.ones(len(ids)) if weights is None else weights
    loss = np.concatenate([of_ids, [1.0]]).astype(np.float32)
    start = 0
    while start < len(targets):
        stop = start + _cut(ends_line[targets[start : start + sequence_length]], sequence_length)
        yield Piece(inputs[start:stop], targets[start:stop], loss[start:stop])
        start = stop


def _cut(line_ends: np.ndarray, sequence_length: int) -> int:
    """Length of the next piece: to its last line end, unless that wastes half of a row."""
    if len(line_ends) < sequence_length:
        return len(line_ends)
    tail = line_ends[sequence_length // 2 :][::-1]
    return sequence_length - int(tail.argmax()) if tail.any() else sequence_length


def pack(
    pieces: Iterable[Piece], *, sequence_length: int, open_rows: int = 4096
) -> Iterator[list[Piece]]:
    """Best fit: each piece goes where it leaves the least room; yields rows as they are closed.

    At most `open_rows` rows are held; beyond that the fullest is closed. Rows of equal room are
    used in the order in which they came to have it, so the result depends on the pieces alone.
    """
    by_room: list[list[list[Piece]]] = [[] for _ in range(sequence_length + 1)]
    rooms = 0  # bit r is set where some open row has room for r more tokens
    held = 0
    for piece in pieces:
        size = len(piece)
        fitting = rooms >> size << size
        room = (fitting & -fitting).bit_length() - 1 if fitting else sequence_length
        if fitting:
            row = by_room[room].pop(0)
            rooms &= ~(1 << room) if not by_room[room] else -1
        else:
            row = []
            held += 1
        row.append(piece)
        if size == room:
            held -= 1
            yield row
            continue
        by_room[room - size].append(row)
        rooms |= 1 << (room - size)
        if held > open_rows:
            fullest = (rooms & -rooms).bit_length() - 1
            held -= 1
            yield by_room[fullest].pop(0)
            rooms &= ~(1 << fullest) if not by_room[fullest] else -1
    for rows in by_room:
        yield from rows


def fill(rows: Sequence[Sequence[Piece]], sequence_length: int) -> Batch:
    """Rows of pieces as arrays (len(rows), T), padded at the right."""
    shape = (len(rows), sequence_length)
    tokens, targets, segments = (np.zeros(shape, np.int32) for _ in range(3))
    weights = np.zeros(shape, np.float32)
    for n, row in enumerate(rows):
        at = 0
        for segment, piece in enumerate(row, 1):
            here = np.s_[n, at : at + len(piece)]
            tokens[here], targets[here], weights[here] = piece.tokens, piece.targets, piece.weights
            segments[here] = segment
            at += len(piece)
    return Batch(tokens, targets, segments, positions_of(segments), weights)


def positions_of(segment_ids: np.ndarray) -> np.ndarray:
    """int32 (B, T): the index of each token in its segment; 0 on padding."""
    index = np.arange(segment_ids.shape[1], dtype=np.int32)
    starts = np.diff(segment_ids, axis=1, prepend=0) != 0
    begun = np.maximum.accumulate(np.where(starts, index, 0), axis=1)
    return np.where(segment_ids > 0, index - begun, 0).astype(np.int32)
