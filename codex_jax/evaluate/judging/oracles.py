"""Checks outputs as HumanEval+ and MBPP+ do: against the reference's, floats approximately.

If the reference's output is one of several right ones, a problem's oracle says which others are
accepted.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

_RELATIVE = 1e-7
_ABSOLUTE = 1e-6  # of floats, unless the problem has a tolerance


def check_outputs(
    candidate: Callable, oracle: str, cases: Sequence[tuple[list, Any]], tolerance: float
) -> None:
    """Asserts that `candidate` has the expected output in every case, within `tolerance`.

    As in EvalPlus, floats have a tolerance from the first output on that consists of floats.
    """
    for arguments, expected in cases:
        output = candidate(*copy.deepcopy(arguments))
        if oracle == "find_zero":  # any zero of the polynomial will do, not the reference's
            (coefficients,) = arguments
            assert abs(_polynomial(coefficients, output)) <= tolerance
            continue
        if oracle == "any order":
            is_equal = set(output) == set(expected)
        else:
            is_equal = output == expected
            is_equal |= _accepted_alternative(oracle, arguments, output, tolerance)
        if tolerance == 0 and is_floats(expected):
            tolerance = _ABSOLUTE
        assert is_equal or (tolerance and is_close(output, expected, tolerance))


def is_floats(value: Any) -> bool:
    """Whether the value is a float, or a list or tuple of floats alone."""
    if isinstance(value, list | tuple) and value:
        return all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _accepted_alternative(oracle: str, arguments: list, output: Any, tolerance: float) -> bool:
    """Whether the output is right by another reading of the question, which MBPP+ allows."""
    if oracle == "anything":
        return True
    if oracle == "or zero":
        return output == 0
    if oracle == "padded digits":
        return output == _digit_distance(*map(str, arguments))
    if oracle == "upright pyramid" and isinstance(output, int | float):
        return abs(output - _pyramid_surface(*arguments)) <= tolerance
    return False


def _digit_distance(first: str, second: str) -> int:
    """Returns the sum of the differences of digits at the same index; -1 if there are signs."""
    if not (first + second).isdigit():
        return -1
    length = max(len(first), len(second))
    pairs = zip(first.zfill(length), second.zfill(length), strict=True)
    return sum(abs(int(a) - int(b)) for a, b in pairs)


def _pyramid_surface(edge: float, height: float) -> int:
    """Returns the surface of a square pyramid; `height` is from its base to its apex."""
    return round(edge**2 + 2 * edge * math.hypot(edge / 2, height))


def is_close(output: Any, expected: Any, tolerance: float) -> bool:
    """Whether both are equal but for rounding: same type and length, numbers within tolerance.

    Inside of lists and tuples, types may differ: numpy compares the numbers.
    """
    import numpy as np  # most problems need no tolerance, and it loads slowly

    if type(output) is not type(expected):
        return False
    if isinstance(expected, list | tuple) and len(output) != len(expected):
        return False
    return bool(np.allclose(output, expected, rtol=_RELATIVE, atol=tolerance))


def _polynomial(coefficients: Sequence[float], x: float) -> float:
    return sum(c * math.pow(x, i) for i, c in enumerate(coefficients))
