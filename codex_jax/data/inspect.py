"""The verb `inspect`: what a batch really holds, and what the cache does."""

import itertools
import pathlib
import sys
from collections.abc import Iterator

import numpy as np

from codex_jax import InputError
from codex_jax.data.packing.batches import BatchReader
from codex_jax.data.packing.row_store import read_meta
from codex_jax.data.stats import describe
from codex_jax.records import Batch
from codex_jax.tokenizer import Tokenizer

_COLOURS = (36, 33, 32, 35, 34, 31)  # of segments, in turn
_DIM = 2  # of what has no loss weight


def inspect(
    *,
    cache: pathlib.Path | str,
    tokenizer: pathlib.Path | str,
    step: int = 0,
    batch_size: int = 4,
    seed: int = 0,
    colour: bool | None = None,
) -> str:
    """Prints a table of the cache and one batch as text, and returns that page.

    Each segment begins with its number and length; the text is that of its targets, in a colour of
    its own where a person watches, dim where the loss weight is 0 (else between « and »).

    Args:
      cache: what `data` wrote.
      tokenizer: the JSON file that it was written with.
      step: which batch.
      batch_size: rows in a batch.
      seed: of the order of the rows.
      colour: whether to colour; by default where a person watches.

    Raises:
      InputError: the cache is missing or damaged, or the tokenizer isn't its own.
    """
    ids = Tokenizer.load(tokenizer)
    reader = BatchReader(cache, batch_size=batch_size, seed=seed)
    if reader.tokenizer_hash != ids.hash:
        raise InputError(
            f"{tokenizer} hashes to {ids.hash[:12]}, the cache was made with "
            f"{reader.tokenizer_hash[:12]}; give that one"
        )
    paint = sys.stdout.isatty() if colour is None else colour
    batch = reader.batch(step)
    page = "\n".join([describe(read_meta(cache)), "", *_rows(batch, ids, paint)])
    print(page)
    return page


def _rows(batch: Batch, ids: Tokenizer, paint: bool) -> Iterator[str]:
    for row in range(len(batch.tokens)):
        segments = batch.segment_ids[row]
        weight = batch.loss_weights[row].sum()
        padding = np.count_nonzero(segments == 0)
        yield f"── row {row}: {segments.max()} segments, {padding} padding, weight {weight:g} ──"
        for segment in range(1, segments.max() + 1):
            here = segments == segment
            targets, weights = batch.targets[row][here], batch.loss_weights[row][here]
            starts = "" if batch.tokens[row][here][0] == ids.eos_id else ", continued"
            mark = f"[{segment}: {len(targets)} tokens{starts}]"
            yield f"{mark} {''.join(_runs(targets, weights, ids, segment * paint))}"


def _runs(targets: np.ndarray, weights: np.ndarray, ids: Tokenizer, paint: int) -> Iterator[str]:
    """Text by runs of equal weighing; `paint` is the segment's number, 0 for no colour."""
    pairs = zip(targets, weights > 0, strict=True)
    for weighs, run in itertools.groupby(pairs, key=lambda pair: pair[1]):
        text = ids.decode(token for token, _ in run)
        if paint:
            code = f"{_COLOURS[paint % len(_COLOURS)]}" + ("" if weighs else f";{_DIM}")
            yield f"\033[{code}m{text}\033[0m"
        else:
            yield text if weighs else f"«{text}»"
