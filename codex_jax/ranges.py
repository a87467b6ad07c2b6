"""Ranges of numeric settings: a table for each class of settings, one check, one message."""

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

from codex_jax import InputError


@dataclasses.dataclass(frozen=True)
class Range:
    """A range of whole or real numbers.

    Attributes:
      is_integer: Whether only whole numbers are in it.
      low: Smallest number.
      high: Largest number.
      excludes_low: Whether `low` itself isn't in it.
      excludes_high: Whether `high` itself isn't in it.
      is_optional: Whether None is in it.
    """

    is_integer: bool
    low: float
    high: float
    excludes_low: bool = False
    excludes_high: bool = False
    is_optional: bool = False

    def __contains__(self, value: object) -> bool:
        if value is None:
            return self.is_optional
        expected = numbers.Integral if self.is_integer else numbers.Real
        if not isinstance(value, expected) or isinstance(value, bool) or value != value:
            return False
        number: Any = value
        low = self.low or FLOAT32_TINY if self.excludes_low and not self.is_integer else self.low
        above = number > low if self.excludes_low else number >= low
        return above and (number < self.high if self.excludes_high else number <= self.high)

    def __str__(self) -> str:
        noun = "a whole number" if self.is_integer else "a number"
        low = f"above {self.low:g}" if self.excludes_low else f"{self.low:g} or more"
        high = f"below {self.high:g}" if self.excludes_high else f"at most {self.high:.10g}"
        limits = low if self.high >= FLOAT32_MAX else f"{low} and {high}"
        return f"{noun}, {limits}" + (", or None" if self.is_optional else "")


FLOAT32_MAX = 3.4e38
FLOAT32_TINY = 1.17e-38  # smaller ones are 0 on the devices
INT32_MAX = 2**31 - 1
_MOST_WORKERS = 1024


def integer(low: int, high: float = INT32_MAX, *, is_optional: bool = False) -> Range:
    """Returns the range of the whole numbers from `low` to `high`, by default int32's largest."""
    return Range(True, low, high, is_optional=is_optional)


def real(low: float, high: float = FLOAT32_MAX, **options: bool) -> Range:
    """Returns the range of the numbers from `low` to `high`, by default a float32's largest."""
    return Range(False, low, high, **options)


def workers(*, is_optional: bool = False) -> Range:
    """Returns the range of a number of workers; what 0 means is the setting's own matter."""
    return integer(0, _MOST_WORKERS, is_optional=is_optional)


def check(owner: str, settings: Any, ranges: Mapping[str, Range]) -> None:
    """Checks settings against their ranges.

    Args:
      owner: The class or command that has them, for the message.
      settings: A dataclass or a mapping.
      ranges: Name of a setting → its range.

    Raises:
      InputError: the first setting that isn't in its range.
    """
    for name, allowed in ranges.items():
        value = settings[name] if isinstance(settings, Mapping) else getattr(settings, name)
        if value not in allowed:
            raise InputError(f"{owner}.{name} is {value!r:.60}; set it to {allowed}")
