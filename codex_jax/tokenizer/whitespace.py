"""Runs of whitespace that are tokens: Python's indentation, with the newline before it.

The Codex paper (section 3.2) adds tokens for runs of whitespace, which saves about 30 % of the
tokens of code. Here a newline and the indentation after it are a token as well, and numbers are
split into groups of three digits.
"""

from collections.abc import Mapping, Sequence

import numpy as np

# Whitespace first, split into the longest runs that are tokens; then words, numbers, the rest.
PATTERN = (
    r"\n{1,3}(?: {1,32}|\t{1,8})?| {2,32}|\t{1,8}"
    r"| ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s"
)
WHITESPACE_RUNS = (
    *(" " * n for n in range(2, 33)),
    *("\t" * n for n in range(2, 9)),
    *("\n" * n for n in range(2, 4)),
    *("\n" + " " * n for n in range(1, 33)),
    *("\n" + "\t" * n for n in range(1, 9)),
    *("\n\n" + " " * n for n in (4, 8, 12)),
)


def newline_mask(tokens: Sequence[bytes]) -> np.ndarray:
    """Bool (V,): True for tokens with a newline."""
    return np.array([b"\n" in token for token in tokens])


def indent_split_table(tokens: Sequence[bytes], ids: Mapping[bytes, int]) -> np.ndarray:
    """int32 (V, 2): ids of the newlines and of the indentation of each newline+indent token.

    Rows of other tokens are -1.
    """
    return np.array([_split(token, ids) for token in tokens], np.int32)


def _split(token: bytes, ids: Mapping[bytes, int]) -> tuple[int, int]:
    indent = token.lstrip(b"\n")
    newlines = token[: len(token) - len(indent)]
    is_indent_token = newlines and indent and not indent.strip(b" \t")
    if is_indent_token and newlines in ids and indent in ids:
        return ids[newlines], ids[indent]
    return -1, -1
