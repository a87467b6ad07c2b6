"""HumanEval+'s way of judging: the program's answers beside the reference's, floats nearly."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

_RELATIVE = 1e-7
_ABSOLUTE = 1e-6  # for floats where the problem names no tolerance of its own


def check(
    candidate: Callable, entry_point: str, cases: Sequence[tuple[list, Any]], tolerance: float
) -> None:
    """Asserts that `candidate` answers every case as expected, within the absolute `tolerance`."""
    for given, expected in cases:
        found = candidate(*copy.deepcopy(given))
        if entry_point == "find_zero":  # any zero of the polynomial will do, not the reference's
            assert abs(_polynomial(*given, found)) <= tolerance
        elif found != expected:
            assert near(found, expected, tolerance)


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
