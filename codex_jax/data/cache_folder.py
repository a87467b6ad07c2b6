"""The folder of a cache: each run's records in a folder of their own, and the index that names it.

A run replaces the former one by a single write, of the index, once all of its records are there.
"""

import dataclasses
import json
import os
import pathlib
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from codex_jax import InputError
from codex_jax.files import claim_folder, has_json_keys, has_text

INDEX, COUNTS = "cache.json", "counts.json"
FORMAT = "codex_jax beam cache 3"
_RUN = "run-????????"
_KEYS = {"run", "sources", "tokenizer_hash", "sequence_length", "cleaning", "seed", "trees"}
_RECORDS = re.compile(r".+-\d{5}-of-\d{5}\.tfrecord(\.partial-[0-9a-f]{8})?")


def new_run() -> str:
    """Returns the name of a run's folder within the cache."""
    return f"run-{secrets.token_hex(4)}"


def is_run_name(name: str) -> bool:
    """Tells whether a folder of this name can be a run's."""
    return bool(re.fullmatch(r"run-[0-9a-f]{8}", name))


def is_run(files: Iterable[str]) -> bool:
    """Tells whether a folder of these files holds nothing but what a run writes."""
    return all(name.startswith(COUNTS) or _RECORDS.fullmatch(name) for name in files)


def is_remote(folder: str) -> bool:
    """Tells whether a folder is in an object store."""
    return "://" in folder


def claim_cache(folder: str) -> None:
    """Refuses a local folder that holds anything but a cache.

    Raises:
      InputError: an entry isn't a cache's own.
    """
    if not is_remote(folder):
        index = has_json_keys("format", "run", "sources")
        claim_folder(folder, {INDEX: index, _RUN: _is_run}, "output")


def _is_run(folder: pathlib.Path) -> bool:
    return folder.is_dir() and all(map(_is_record_file, folder.iterdir()))


def _is_record_file(path: pathlib.Path) -> bool:
    if path.name.startswith(COUNTS):
        return True
    has_mark = path.is_file() and (not path.stat().st_size or has_text("language")(path))
    return bool(_RECORDS.fullmatch(path.name)) and has_mark


def parse_index(path: str, text: str) -> dict[str, Any]:
    """Parses an index.

    Raises:
      InputError: it is damaged, or of another format.
    """
    try:
        index = json.loads(text)
        if index["format"] != FORMAT:
            problem = f"another format, {index['format']!r}"
        elif absent := _KEYS - index.keys():
            problem = f"damaged (it lacks {', '.join(sorted(absent))})"
        else:
            return index
    except (ValueError, TypeError, KeyError) as error:
        problem = f"damaged ({type(error).__name__}: {error})"
    raise InputError(f"{path}: {problem}; cache the corpus again")


def describe(settings: Any) -> dict[str, Any]:
    """Returns a tree's or a cleaning's settings as an index has them, a path from the root."""
    fields = dataclasses.asdict(settings)
    if "path" in fields:
        fields["path"] = os.path.abspath(fields["path"])  # noqa: PTH100
    return json.loads(json.dumps(fields))


def check_settings(folder: str, cached: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Refuses settings by which a cache wasn't made.

    Args:
      folder: The cache, for the message.
      cached: Settings of its index.
      current: The same settings of a build.

    Raises:
      InputError: one differs, by its name.
    """
    former = dict(_flatten(cached))
    for name, value in _flatten(current):
        if (cached_value := former.get(name)) != value:
            raise InputError(
                f"{folder}: cached with {name}={cached_value!r}, which is {value!r} here; set "
                f"{name} to {cached_value!r}, or cache the corpus again"
            )


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
