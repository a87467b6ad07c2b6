"""Values from gin, the shell and Python, held against type hints."""

import abc
import collections.abc
import inspect
import numbers
import pathlib
import re
import types
import typing
from typing import Any

_TEXT = (str, pathlib.Path)
_SEQUENCES = (collections.abc.Sequence, collections.abc.Iterable, list, tuple)
_MAPPINGS = (dict, collections.abc.Mapping)


class MismatchError(ValueError):
    """A value that its hint doesn't allow."""


class Deferred(abc.ABC):
    """An object that is made later; its class is held against the hint now."""

    @property
    @abc.abstractmethod
    def made_type(self) -> Any:
        """The class of the object."""


def describe(hint: Any) -> str:
    """Returns a hint's text without the names of modules."""
    return re.sub(r"\b(?:\w+\.)+", "", inspect.formatannotation(hint))


def options(hint: Any) -> tuple[Any, ...]:
    """Returns the members of a union, or the hint alone."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def wants_text(hint: Any) -> bool:
    """Whether a bare word from the shell is meant as a string."""
    literals = [v for o in options(hint) if _is_literal(o) for v in typing.get_args(o)]
    plain = [o for o in options(hint) if o is not type(None) and not _is_literal(o)]
    return all(o in _TEXT for o in plain) and all(isinstance(v, str) for v in literals)


def sequence_hint(hint: Any) -> Any:
    """Returns the member that is a sequence; None if there is none, or a text is allowed too."""
    members = options(hint)
    sequences = [o for o in members if typing.get_origin(o) in _SEQUENCES]
    return sequences[0] if sequences and not set(_TEXT) & set(members) else None


def _is_literal(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Literal


def fit(value: Any, hint: Any) -> Any:
    """Converts a value to its hint: 1 to 1.0, a list to a tuple, a string to a Path.

    Raises:
      MismatchError: no member of the hint takes the value.
    """
    for option in options(hint):
        try:
            return _fit(value, option)
        except MismatchError:
            continue
    raise MismatchError(f"is {value!r}")


def _fit(value: Any, hint: Any) -> Any:
    origin = typing.get_origin(hint) or hint
    if hint is Any:
        return value
    if isinstance(value, Deferred):
        both = isinstance(origin, type) and isinstance(value.made_type, type)
        return _checked(value, both and issubclass(value.made_type, origin))
    if origin is typing.Literal:
        return _checked(value, value in typing.get_args(hint))
    if origin in _MAPPINGS:
        return _fit_mapping(value, typing.get_args(hint))
    if origin in _SEQUENCES:
        return _fit_sequence(value, origin, typing.get_args(hint))
    if origin in (int, float):
        kind = numbers.Integral if origin is int else numbers.Real  # NumPy's are such, too
        return origin(_checked(value, isinstance(value, kind) and not isinstance(value, bool)))
    if origin is pathlib.Path:
        # An empty text would become the working folder.
        return pathlib.Path(_checked(value, isinstance(value, _TEXT) and str(value) != ""))
    if origin is None or origin is type(None):
        return _checked(value, value is None)
    return _checked(value, not isinstance(origin, type) or isinstance(value, origin))


def _checked(value: Any, fits: bool) -> Any:
    if not fits:
        raise MismatchError
    return value


def _fit_mapping(value: Any, args: tuple) -> dict:
    _checked(value, isinstance(value, dict))
    key, item = args or (Any, Any)
    return {fit(k, key): fit(v, item) for k, v in value.items()}


def _fit_sequence(value: Any, origin: type, args: tuple) -> list | tuple:
    _checked(value, isinstance(value, list | tuple))
    if origin is tuple and args and args[-1] is not Ellipsis:
        _checked(value, len(value) == len(args))
        return tuple(fit(v, hint) for v, hint in zip(value, args, strict=True))
    items = [fit(v, args[0] if args else Any) for v in value]
    return items if origin is list else tuple(items)
