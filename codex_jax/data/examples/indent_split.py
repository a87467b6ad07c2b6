"""A prompt may end between a newline and the indentation after it; training must show that cut."""

import numpy as np


def loosen(
    ids: np.ndarray,
    weights: np.ndarray,
    halves: np.ndarray,
    rate: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Replaces a share `rate` of the newline+indent tokens by their two halves.

    A prompt that ends in "\n" encodes to the lone newline, after which a model trained on whole
    newline+indent tokens has only ever seen column 0.

    Args:
      ids: int32 (n,).
      weights: float32 (n,), their loss weights.
      halves: int32 (V, 2), `Tokenizer.indent_split_table()`.
      rate: 0 to 1.
      rng: decides which.

    Returns:
      int32 (m,), m ≥ n, of the same bytes, and their weights.
    """
    split = (halves[ids, 0] >= 0) & (rng.random(len(ids)) < rate)
    sizes = 1 + split
    places = (np.cumsum(sizes) - sizes)[split]
    loose = np.repeat(ids, sizes)
    loose[places], loose[places + 1] = halves[ids[split]].T
    return loose, np.repeat(weights, sizes)
