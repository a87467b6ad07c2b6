"""Documents cut to the length of rows before infilling, so that no infilled text is torn.

Context-level infilling of arXiv 2207.14255, section 4.3.
"""

from collections.abc import Iterator

import numpy as np

from codex_jax.data.documents import Span
from codex_jax.data.examples.fim import infill
from codex_jax.tokenizer import Tokenizer

_MARKS = 4  # prefix, suffix and middle, and end of text


class RowCutter:
    """Cuts texts so that each stretch, infilled, fits a row."""

    def __init__(self, tokenizer: Tokenizer, sequence_length: int):
        self._tokenizer = tokenizer
        self._length = sequence_length
        self._splits = tokenizer.indent_split_table()[:, 0] >= 0
        self._token_bytes = token_byte_counts(tokenizer)

    def infill(self, text: str, rng: np.random.Generator) -> Iterator[tuple[Span, ...]]:
        """Yields the stretches of `text`, each cut for infilling; plain where a row has no room."""
        for stretch in self.cut(text):
            spans = infill(stretch, rng)
            if self._fits(spans):
                yield spans
            elif len(stretch) < 2:
                yield (Span(stretch),)
            else:
                middle = len(stretch) // 2
                yield from self.infill(stretch[:middle], rng)
                yield from self.infill(stretch[middle:], rng)

    def cut(self, text: str) -> list[str]:
        """Cuts `text` to about the length of a row, at line ends where the last half has one."""
        content = text.encode()
        if len(content) + _MARKS <= self._length:  # a token has a byte at least
            return [text]
        ids = np.array(self._tokenizer.encode(text), np.int64)
        costs = np.cumsum(1 + self._splits[ids])
        offsets = np.cumsum(self._token_bytes[ids])
        room = max(1, self._length - _MARKS - min(16, self._length // 8))
        stretches = []
        start = used = 0
        while costs[-1] - used > room:
            last = max(int(np.searchsorted(costs, used + room, "right")), 1) - 1
            stop = _cut_point(content, start, int(offsets[last]))
            stretches.append(content[start:stop])
            start = stop
            used = int(costs[np.searchsorted(offsets, stop, "left")])
        return [stretch.decode() for stretch in [*stretches, content[start:]] if stretch]

    def _fits(self, spans: tuple[Span, ...]) -> bool:
        if sum(len(span.text.encode()) for span in spans if not span.special) + _MARKS <= (
            self._length
        ):
            return True
        texts = [span.text for span in spans if not span.special]
        ids = np.array([i for text in texts for i in self._tokenizer.encode(text)], np.int64)
        return len(ids) + int(self._splits[ids].sum()) + _MARKS <= self._length


def _cut_point(content: bytes, start: int, stop: int) -> int:
    """Returns where to end a stretch: after a line, or else before a character."""
    newline = content.rfind(b"\n", start + (stop - start) // 2, stop)
    if newline >= 0:
        return newline + 1
    while stop > start + 1 and stop < len(content) and content[stop] & 0xC0 == 0x80:
        stop -= 1
    while stop < len(content) and content[stop] & 0xC0 == 0x80:  # one character fills the row
        stop += 1
    return max(stop, start + 1)


def token_byte_counts(tokenizer: Tokenizer) -> np.ndarray:
    """Returns int32 (V,): the bytes of text of each id, 0 of special tokens."""
    counts = np.array(
        [len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)], np.int32
    )
    counts[list(tokenizer.special_ids)] = 0
    return counts
