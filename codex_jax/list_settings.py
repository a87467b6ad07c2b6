"""Settings that are lists: names between commas, no entry empty, and none that counts twice."""

from collections.abc import Sequence
from typing import Any

from codex_jax import InputError


def split_names(setting: str, value: Sequence[str] | str) -> tuple[str, ...]:
    """Returns the names of a list, or of a text with commas between them; none in an empty text.

    Raises:
      InputError: an entry is empty.
    """
    if isinstance(value, str):
        names = tuple(name.strip() for name in value.split(","))
    else:
        names = tuple(value)
    if value and not all(map(str.strip, names)):
        raise InputError(
            f"{setting} is {value!r}, which has an empty entry; set it to names with single commas "
            "between them"
        )
    return names if value else ()


def check_distinct(**lists: Sequence[Any]) -> None:
    """Refuses a list whose entries are counted, or name a result each, and of which two are equal.

    Args:
      **lists: Setting → its entries.

    Raises:
      InputError: two entries are equal, as 0.2 and 0.20 are.
    """
    for setting, values in lists.items():
        for index, value in enumerate(values):
            if value in values[:index]:
                raise InputError(f"{setting} has {value!r} twice; set it to distinct entries")
