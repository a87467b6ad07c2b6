"""Splits some newline+indent tokens, so that training shows prompts that end after a newline."""

import numpy as np


def split_indent_tokens(
    ids: np.ndarray,
    weights: np.ndarray,
    halves: np.ndarray,
    rate: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Replaces a share `rate` of the newline+indent tokens by their two halves.

    A prompt that ends in "\n" encodes to the lone newline, after which a model trained on unsplit
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
    starts = (np.cumsum(sizes) - sizes)[split]
    new_ids = np.repeat(ids, sizes)
    new_ids[starts], new_ids[starts + 1] = halves[ids[split]].T
    return new_ids, np.repeat(weights, sizes)
