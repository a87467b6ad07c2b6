"""Who may call: API keys, the names of the model, and origins of pages, as they are set."""

import os
import pathlib
import re
from collections.abc import Sequence

from codex_jax import InputError, list_settings

_KEYS = "CODEX_JAX_API_KEYS"
_KEY = re.compile("[!-~]+")  # what a header holds as it is
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#]+")


def read_keys(path: str) -> list[str]:
    """Returns the keys of a file, a line each, or of the environment; none where neither is set.

    Raises:
      InputError: a file or variable without a key, or a key that no request can have.
    """
    if path:
        source, keys = f"api_keys: {path}", _read_text(path).splitlines()
    else:
        source, keys = f"${_KEYS}", os.environ.get(_KEYS, "").split(",")
    keys = [key.strip() for key in keys]
    present = [key for key in keys if key]
    if not present and (path or os.environ.get(_KEYS)):
        raise InputError(f"{source} has no key; set at least one, or leave it unset")
    for number, key in enumerate(keys, 1):
        if key and not _KEY.fullmatch(key):
            raise InputError(
                f"{source}: key {number} has a space or a character that isn't ASCII; set it to "
                "letters, digits and signs"
            )
    return present


def _read_text(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"api_keys: {path} can't be read: {error}") from None


def model_names(model_name: str) -> tuple[str, ...]:
    """Returns the names that clients call the model.

    Raises:
      InputError: none, an empty one, one twice, or one with a character that can't be printed.
    """
    names = list_settings.split_names("model_name", model_name)
    if not names or not all(map(str.isprintable, names)):
        raise InputError(
            f"model_name is {model_name!r}; set it to names in letters, with commas between them"
        )
    list_settings.check_distinct(model_name=names)
    return names


def check_origins(origins: Sequence[str]) -> None:
    """Checks that browsers have such origins.

    Raises:
      InputError: one that no page has.
    """
    for origin in origins:
        if origin not in ("*", "null") and not _ORIGIN.fullmatch(origin):
            raise InputError(
                f"cors_origins names {origin!r}; set it to origins such as https://example.org, "
                "without a path, or *"
            )
