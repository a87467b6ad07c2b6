"""The command `inspect`: a table of packed rows, and a batch of them as text."""

import itertools
import pathlib
import sys
from collections.abc import Iterator

import numpy as np

from codex_jax import InputError
from codex_jax.data.packing.batches import BatchReader
from codex_jax.data.packing.row_store import read_info
from codex_jax.data.stats import describe
from codex_jax.progress import printable
from codex_jax.records import Batch
from codex_jax.tokenizer import Tokenizer

_COLORS = (36, 33, 32, 35, 34, 31)  # of segments, in rotation
_DIM = 2  # for text without loss weight


def inspect(
    *,
    rows: pathlib.Path | str,
    tokenizer: pathlib.Path | str,
    step: int = 0,
    batch_size: int = 4,
    seed: int = 0,
    color: bool | None = None,
) -> str:
    """Prints a table of the rows and one batch as text, and returns that page.

    Each segment begins with its number and length; the text is that of its targets, in a color of
    its own on a terminal, dim where the loss weight is 0 (else between « and »).

    Args:
      rows: the folder that `data` wrote.
      tokenizer: the JSON file that it was written with.
      step: number of the batch.
      batch_size: rows in a batch.
      seed: of the order of the rows.
      color: whether to color; by default on a terminal.

    Raises:
      InputError: the rows are missing or damaged, or the tokenizer isn't their own.
    """
    ids = Tokenizer.load(tokenizer)
    reader = BatchReader(rows, batch_size=batch_size, seed=seed)
    if reader.tokenizer_hash != ids.hash:
        raise InputError(
            f"{tokenizer} hashes to {ids.hash[:12]}, the rows were made with "
            f"{reader.tokenizer_hash[:12]}; set tokenizer to that file"
        )
    paint = sys.stdout.isatty() if color is None else color
    batch = reader.batch(step)
    page = "\n".join([describe(read_info(rows)), "", *_render_rows(batch, ids, paint)])
    print(page)
    return page


def _render_rows(batch: Batch, ids: Tokenizer, paint: bool) -> Iterator[str]:
    for row in range(len(batch.tokens)):
        segments = batch.segment_ids[row]
        weight = batch.loss_weights[row].sum()
        padding = np.count_nonzero(segments == 0)
        yield f"── row {row}: {segments.max()} segments, {padding} padding, weight {weight:g} ──"
        for segment in range(1, segments.max() + 1):
            mask = segments == segment
            targets, weights = batch.targets[row][mask], batch.loss_weights[row][mask]
            starts = "" if batch.tokens[row][mask][0] == ids.eos_id else ", continued"
            mark = f"[{segment}: {len(targets)} tokens{starts}]"
            yield f"{mark} {''.join(_render_runs(targets, weights, ids, segment * paint))}"


def _render_runs(
    targets: np.ndarray, weights: np.ndarray, ids: Tokenizer, paint: int
) -> Iterator[str]:
    """Yields text by runs of equal weighing; `paint` is the segment's number, 0 for no color."""
    pairs = zip(targets, weights > 0, strict=True)
    for has_weight, run in itertools.groupby(pairs, key=lambda pair: pair[1]):
        text = printable(ids.decode(token for token, _ in run))
        if paint:
            code = f"{_COLORS[paint % len(_COLORS)]}" + ("" if has_weight else f";{_DIM}")
            yield f"\033[{code}m{text}\033[0m"
        else:
            yield text if has_weight else f"«{text}»"
