"""Near duplicates among programs: those that share most of their runs of tokens."""

import collections
import io
import keyword
import math
import tokenize
from collections.abc import Hashable, Iterator, Sequence

SHINGLE = 5  # tokens
_LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def code_tokens(source: str) -> list[str]:
    """Returns a program's tokens without layout, comments and docstrings.

    A name becomes the number of its first occurrence, so that renamed programs are equal; keywords
    stay.
    """
    tokens: list[str] = []
    numbers: dict[str, int] = {}
    try:
        previous = "\n"
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.ERRORTOKEN:  # from Python 3.12 on, an exception
                break
            is_docstring = token.type == tokenize.STRING and not previous.strip(" \n:")
            if token.type not in _LAYOUT and not is_docstring and token.string:
                text = token.string
                if token.type == tokenize.NAME and not keyword.iskeyword(text):
                    text = f"v{numbers.setdefault(text, len(numbers))}"
                tokens.append(text)
            previous = token.string
    except (tokenize.TokenError, IndentationError, SyntaxError):
        pass  # the tokens up to there
    return tokens


def shingles(tokens: Sequence[str], size: int = SHINGLE) -> frozenset[Hashable]:
    """Returns the runs of `size` tokens; of a shorter program the only one."""
    runs = zip(*(tokens[start:] for start in range(size)), strict=False)
    return frozenset(runs) or frozenset([tuple(tokens)])


def find_near_duplicates(
    sets: Sequence[frozenset[Hashable]], jaccard: float
) -> Iterator[tuple[int, int]]:
    """Yields (index of a duplicate, index of an earlier one that it is like).

    Two sets of Jaccard similarity s share one of the rarest (1 - s) of their items, so that only
    sets that share one of these are compared.

    Args:
      sets: Shingles of each program.
      jaccard: Least similarity of near duplicates.
    """
    counts = collections.Counter(item for items in sets for item in items)
    first_of: dict[Hashable, list[int]] = collections.defaultdict(list)
    for index, items in enumerate(sets):
        ordered = sorted(items, key=lambda item: (counts[item], repr(item)))
        rare = ordered[: len(ordered) - math.ceil(jaccard * len(ordered)) + 1]
        candidates = dict.fromkeys(other for item in rare for other in first_of[item])
        match = next((o for o in candidates if _similarity(items, sets[o]) >= jaccard), None)
        if match is not None:
            yield index, match
            continue
        for item in rare:
            first_of[item].append(index)


def _similarity(left: frozenset[Hashable], right: frozenset[Hashable]) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)
