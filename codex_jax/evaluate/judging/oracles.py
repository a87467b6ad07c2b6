"""HumanEval+'s and MBPP+'s way of judging: answers beside the reference's, floats nearly.

Where the reference's answer is one of several, a problem's oracle says which others will do.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

_RELATIVE = 1e-7
_ABSOLUTE = 1e-6  # for floats where the problem names no tolerance of its own


def check(
    candidate: Callable, oracle: str, cases: Sequence[tuple[list, Any]], tolerance: float
) -> None:
    """Asserts that `candidate` answers every case as expected, within the absolute `tolerance`."""
    for given, expected in cases:
        found = candidate(*copy.deepcopy(given))
        if oracle == "find_zero":  # any zero of the polynomial will do, not the reference's
            assert abs(_polynomial(*given, found)) <= tolerance
        elif oracle == "any order":
            assert _distinct(found) == _distinct(expected)
        elif found != expected and not _also_right(oracle, given, found, tolerance):
            assert near(found, expected, tolerance)


def _distinct(answer: Any) -> Any:
    """The set of what was answered; anything else where there is none."""
    try:
        return set(answer)
    except TypeError:
        return answer


def _also_right(oracle: str, given: list, found: Any, tolerance: float) -> bool:
    """Whether another reading of the question, which MBPP+ allows, has this answer."""
    if oracle == "anything":
        return True
    if oracle == "or zero":
        return found == 0
    if oracle == "padded digits":
        return found == _digits_apart(*map(str, given))
    if oracle == "upright pyramid" and isinstance(found, int | float):
        return abs(found - _surface(*given)) <= tolerance
    return False


def _digits_apart(one: str, other: str) -> int:
    """Sum of the differences of digits in the same place; -1 where there are signs."""
    if not (one + other).isdigit():
        return -1
    length = max(len(one), len(other))
    pairs = zip(one.zfill(length), other.zfill(length), strict=True)
    return sum(abs(int(a) - int(b)) for a, b in pairs)


def _surface(edge: float, height: float) -> int:
    """Of a square pyramid, from its base to its apex."""
    return round(edge**2 + 2 * edge * math.hypot(edge / 2, height))


def near(found: Any, expected: Any, tolerance: float) -> bool:
    """Equal but for rounding: same types and lengths, floats within the tolerances.

    Whole numbers are compared with tolerance only where the problem asks for one.
    """
    if type(found) is not type(expected):
        return False
    if isinstance(expected, list | tuple):
        pairs = zip(found, expected, strict=False)
        return len(found) == len(expected) and all(near(f, e, tolerance) for f, e in pairs)
    if isinstance(expected, float) or (tolerance and type(expected) is int):
        bound = (tolerance or _ABSOLUTE) + _RELATIVE * abs(expected)
        return found == expected or abs(found - expected) <= bound or _both_nan(found, expected)
    return found == expected


def _both_nan(found: float, expected: float) -> bool:
    return math.isnan(found) and math.isnan(expected)


def _polynomial(coefficients: Sequence[float], x: float) -> float:
    return sum(c * math.pow(x, i) for i, c in enumerate(coefficients))
