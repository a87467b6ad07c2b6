"""Codec between plain values and JSON: nothing that a program returns can act on the host.

None, booleans, strings, floats, small integers and lists are themselves; everything else is an
object with one key, its tag. Instances of subclasses travel as the builtin they extend, read
through the builtin's own methods: whatever the program overrides stays behind.
"""

import collections.abc
import itertools
import sys

_SMALL = 10**15
_THEMSELVES = (str, float, bool, type(None))
_ITEMS = 100_000  # of an iterator, which may be endless


class Opaque:
    """Stands for something that isn't plain data: equal to nothing but itself."""

    def __init__(self, type_name):
        self.type_name = type_name

    def __repr__(self):
        return f"<{self.type_name} object>"


def encode(value, *, strict=False):
    """Returns the JSON form of `value`.

    Raises:
      TypeError: it is `strict`, and `decode` wouldn't restore the value.
    """
    if type(value) in _THEMSELVES:
        return value
    if form := _BY_EXACT_TYPE.get(type(value)):
        return form(value, strict)
    for base, form in _FORMS:
        if issubclass(type(value), base) and (not strict or type(value) is base):
            return form(value, strict)
    for base, form in _optional_types():
        if issubclass(type(value), base) and (not strict or type(value) is base):
            return form(value)
    if strict:
        raise TypeError(f"{type(value).__name__} isn't plain data")
    if issubclass(type(value), collections.abc.Iterator) or type(value) in _VIEWS:
        return {"iterator": _items(itertools.islice(value, _ITEMS), False)}
    return {"opaque": f"{type(value).__module__}.{type(value).__qualname__}"}


def _items(values, strict):
    return [v if type(v) in _THEMSELVES else encode(v, strict=strict) for v in values]


def _integer(value, _):
    value = int.__index__(value)
    return value if -_SMALL < value < _SMALL else {"int": hex(value)}


def _mapping(value, strict):
    return {"dict": [_items(item, strict) for item in dict.items(value)]}


_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_FORMS = (
    (bool, lambda v, _: bool(v)),
    (int, _integer),
    (float, lambda v, _: float.__float__(v)),
    (str, lambda v, _: str.__str__(v)),
    (list, lambda v, strict: _items(list.__iter__(v), strict)),
    (tuple, lambda v, strict: {"tuple": _items(tuple.__iter__(v), strict)}),
    (dict, _mapping),
    (set, lambda v, strict: {"set": _items(set.__iter__(v), strict)}),
    (frozenset, lambda v, strict: {"frozenset": _items(frozenset.__iter__(v), strict)}),
    (bytes, lambda v, _: {"bytes": bytes.hex(v)}),
    (bytearray, lambda v, _: {"bytearray": bytearray.hex(v)}),
    (complex, lambda v, _: {"complex": [v.real, v.imag]}),
    (range, lambda v, _: {"range": [hex(n) for n in (v.start, v.stop, v.step)]}),
)
_BY_EXACT_TYPE = dict(_FORMS)


def _optional_types():
    """Yields the types of modules that have been imported: to import them here would take time."""
    if decimal := sys.modules.get("decimal"):
        yield decimal.Decimal, lambda v: {"decimal": decimal.Decimal.__str__(v)}
    if fractions := sys.modules.get("fractions"):
        yield fractions.Fraction, lambda v: {"fraction": [hex(v.numerator), hex(v.denominator)]}


_CONTAINERS = (list, dict)


def decode(form):
    """Returns the value that `encode` got.

    Raises:
      ValueError, TypeError, ArithmeticError, RecursionError: not something `encode` makes.
    """
    if isinstance(form, list):
        return [decode(item) if type(item) in _CONTAINERS else item for item in form]
    if not isinstance(form, dict):
        return form
    if len(form) != 1:
        raise ValueError("a value must have one tag")
    ((tag, body),) = form.items()
    if tag not in _READERS:
        raise ValueError(f"unknown tag {tag[:40]!r}")
    return _READERS[tag](body)


def _decimal(text):
    import decimal

    if len(text) > 10_000:
        raise ValueError("a decimal of too many digits")
    return decimal.Decimal(text)


def _fraction(body):
    import fractions

    return fractions.Fraction(*(int(n, 16) for n in body))


_READERS = {
    "int": lambda body: int(body, 16),
    "tuple": lambda body: tuple(map(decode, body)),
    "dict": lambda body: {decode(key): decode(value) for key, value in body},
    "set": lambda body: set(map(decode, body)),
    "frozenset": lambda body: frozenset(map(decode, body)),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "complex": lambda body: complex(*map(float, body)),
    "range": lambda body: range(*(int(n, 16) for n in body)),
    "decimal": _decimal,
    "fraction": _fraction,
    "iterator": lambda body: iter([decode(item) for item in body]),
    "opaque": lambda body: Opaque(str(body)[:100]),
}
