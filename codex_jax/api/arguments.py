"""Arguments of the Python interface, held against the names and types that its commands declare."""

import inspect
import pathlib
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from codex_jax import InputError, coercion
from codex_jax.suggestions import suggest


def fit_settings(
    command: Callable[..., Any], settings: Mapping[str, Any], *, taken: Collection[str] = ()
) -> dict[str, Any]:
    """Returns further settings of a command, each of its type: a number of NumPy's is one.

    Args:
      command: Its keywords are the settings.
      settings: By name.
      taken: Names that the interface sets itself.

    Raises:
      InputError: a setting that the command doesn't have or that it needs, or another type.
    """
    hints = typing.get_type_hints(command)
    parameters = inspect.signature(command).parameters
    names = {name: parameter for name, parameter in parameters.items() if name not in taken}
    if unknown := [name for name in settings if name not in names]:
        raise InputError(f"no setting {unknown[0]}{suggest(unknown[0], names)}")
    required = [name for name, parameter in names.items() if parameter.default is parameter.empty]
    if missing := [name for name in required if name not in settings]:
        raise InputError(f"not set: {', '.join(missing)}; set {missing[0]}")
    return {name: fit(name, value, hints[name]) for name, value in settings.items()}


def fit(name: str, value: Any, hint: Any) -> Any:
    """Returns a value as its type; `name` begins the message."""
    try:
        return coercion.fit(value, hint)
    except coercion.MismatchError:
        expected = coercion.describe(hint)
        raise InputError(f"{name} is {value!r:.60}; set it to {expected}") from None


def check_path(name: str, value: Any) -> None:
    """Checks that a value names a file or folder.

    Raises:
      InputError: it is neither text nor a Path, or empty.
    """
    if not isinstance(value, str | pathlib.Path) or not str(value):
        raise InputError(f"{name} is {value!r:.60}; set it to the path of a file or folder")


def list_items(name: str, values: Any, expected: type | tuple[type, ...], noun: str) -> list[Any]:
    """Returns the items of any iterable but a text, whose items would be characters.

    Raises:
      InputError: no such iterable, or an item of another type.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InputError(f"{name} is {values!r:.60}; set it to a list of {noun}")
    items = list(values)
    if others := [item for item in items if not isinstance(item, expected)]:
        raise InputError(f"{name} contains {others[0]!r:.60}; set it to a list of {noun}")
    return items
