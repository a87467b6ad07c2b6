"""The encoder of documents: document → training texts → token ids with loss weights.

The process pool, the Beam pipeline and seqio's Tasks are its three drivers.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from codex_jax.data.corpus import SourceTree
from codex_jax.data.documents import Document, Span
from codex_jax.data.examples.render import render_repeats
from codex_jax.data.examples.row_cutter import RowCutter
from codex_jax.tokenizer import Tokenizer


class EncodedExample(NamedTuple):
    """A training text in tokens."""

    key: str
    language: str
    ids: np.ndarray  # int32 (n,), without end of text
    weights: np.ndarray  # float32 (n,), of the loss


class DocumentEncoder:
    """Encodes documents; a pure function of (document, tree, the tree's name, seed)."""

    def __init__(self, tokenizer: Tokenizer, seed: int, sequence_length: int):
        """Prepares to encode.

        Args:
          tokenizer: the vocabulary.
          seed: of infilling's cuts, and of the documents that a fraction of a weight takes.
          sequence_length: tokens in a row, in which each infilled text fits.
        """
        self._tokenizer = tokenizer
        self._seed = seed
        self._cutter = RowCutter(tokenizer, sequence_length)

    def encode(
        self, document: Document, tree: SourceTree, source: str = ""
    ) -> Iterator[EncodedExample]:
        """Yields the document's training texts, each as often as the tree's weight requires."""
        for example in render_repeats(document, tree, self._seed, self._cutter, source):
            ids, weights = encode_spans(example.spans, self._tokenizer)
            yield EncodedExample(example.key, example.language, ids, weights)


def encode_spans(spans: Sequence[Span], tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Encodes each span by itself; returns int32 (n,) ids and float32 (n,) loss weights."""
    span_ids = [
        [tokenizer.special_id(span.text)] if span.special else tokenizer.encode(span.text)
        for span in spans
    ]
    ids = np.array([token for tokens in span_ids for token in tokens], np.int32)
    weights = np.array([span.weight for span in spans], np.float32)
    return ids, np.repeat(weights, np.array([len(tokens) for tokens in span_ids], np.int64))


def encode_jointly(spans: Sequence[Span], tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Encodes spans as one text, whose tokens may cross their borders; none of them is special.

    A token has the weight of the span in which its last byte lies: of a prompt and its solution,
    those tokens weigh that reach into the solution, as a healed sample has them.

    Returns:
      int32 (n,) ids and float32 (n,) loss weights.
    """
    *before, whole = (_encode_with_ends(text, tokenizer) for text in _prefixes(spans))
    ids, ends = whole
    # In bytes of tokens, not of the text: a tokenizer may put a space in front, or compose letters.
    stops = [int(prefix_ends[-1]) if len(prefix_ends) else 0 for _, prefix_ends in before]
    spans_of_tokens = np.searchsorted(np.array(stops, np.int64), ends - 1, "right")
    return ids, np.array([span.weight for span in spans], np.float32)[spans_of_tokens]


def _prefixes(spans: Sequence[Span]) -> Iterator[str]:
    """Yields the text up to the end of each span."""
    return itertools.accumulate(span.text for span in spans)


def _encode_with_ends(text: str, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Returns a text's ids, and the number of bytes up to the end of each."""
    ids = np.array(tokenizer.encode(text), np.int32)
    sizes = [len(tokenizer.token_bytes(i)) for i in ids.tolist()]
    return ids, np.cumsum(np.array(sizes, np.int64))
