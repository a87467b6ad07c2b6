"""Plain values and the literals that stand for them in a program."""

import ast
import math
from collections.abc import Iterator
from typing import Any

_SCALARS = (type(None), bool, int, float, str, bytes)
_MAX_DEPTH = 8
MAX_TEXT = 2000  # characters of a literal
_MAX_BITS = 8192  # Python writes no number of more than 4,300 digits


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is made of builtins only, is equal to itself, isn't deep, and has a text."""
    if type(value) is int:
        return value.bit_length() <= _MAX_BITS
    if type(value) in _SCALARS:
        return not (type(value) is float and math.isnan(value))
    if depth >= _MAX_DEPTH:
        return False
    if type(value) is dict:
        items = [item for pair in value.items() for item in pair]
    elif type(value) in (list, tuple, set, frozenset):
        items = list(value)
    else:
        return False
    return all(is_plain(item, depth + 1) for item in items)


def parts(value: Any) -> Iterator[Any]:
    """Yields a plain value and all that is in it."""
    yield value
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from parts(item)


def literal(value: Any) -> str:
    """Returns the expression of a plain value; sets in sorted order, so that it is always equal.

    Raises:
      ValueError: the value isn't plain, or its literal is too long for a problem.
    """
    if not is_plain(value):
        raise ValueError(f"{type(value).__name__} isn't plain data")
    try:
        text = _literal(value)
    except RecursionError:
        raise ValueError("a value that is too deep") from None
    if len(text) > MAX_TEXT:
        raise ValueError(f"a literal of {len(text)} characters; expected up to {MAX_TEXT}")
    return text


def _literal(value: Any) -> str:
    if type(value) is float and math.isinf(value):
        return "float('inf')" if value > 0 else "float('-inf')"
    if type(value) is list:
        return f"[{', '.join(map(_literal, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    if type(value) is dict:
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    if type(value) in (set, frozenset):
        items = sorted(map(_literal, value))
        text = "{" + ", ".join(items) + "}" if items else "set()"
        return f"frozenset({text if items else ''})" if type(value) is frozenset else text
    return repr(value)


def parse(node: ast.expr) -> Any:
    """Returns the plain value of an expression.

    Raises:
      ValueError: it isn't one.
    """
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if not is_plain(value):
        raise ValueError("not plain data")
    return value


def is_equal(left: Any, right: Any) -> bool:
    """Whether two plain values are equal and of equal types throughout."""
    if type(left) is not type(right):
        return False
    if type(left) in (list, tuple):
        return len(left) == len(right) and all(map(is_equal, left, right))
    if type(left) is dict:
        return len(left) == len(right) and all(
            is_equal(a, b)
            for a, b in zip(_sorted(left.items()), _sorted(right.items()), strict=True)
        )
    if type(left) in (set, frozenset):
        return len(left) == len(right) and all(map(is_equal, _sorted(left), _sorted(right)))
    return left == right


def _sorted(items: Any) -> list[Any]:
    return sorted(items, key=_literal)
