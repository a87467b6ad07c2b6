"""Hugging Face folders: config.json, the tokenizer's files, and the weights."""

import pathlib
from typing import Any

from codex_jax import InputError
from codex_jax.convert.foreign import ForeignCheckpoint
from codex_jax.convert.hf_weights import open_weights
from codex_jax.convert.text_ends import read_eos_ids
from codex_jax.convert.tokenizers import ForeignTokenizer
from codex_jax.files import parse_json


def open_folder(folder: pathlib.Path) -> ForeignCheckpoint:
    """Opens a Hugging Face folder.

    Raises:
      InputError: a missing file, or a tokenizer that can't be reproduced.
    """
    config = _read_json(folder / "config.json")
    weights = open_weights(folder)
    tokenizer = ForeignTokenizer.read(_read_tokenizer(folder), _read_settings(folder))
    generation = _read_optional(folder / "generation_config.json")
    eos_ids = read_eos_ids(config, generation, tokenizer)
    family = config.get("model_type", "")
    return ForeignCheckpoint(family, config, weights, tokenizer, eos_ids, generation)


def _read_tokenizer(folder: pathlib.Path) -> str:
    path = folder / "tokenizer.json"
    fields = _read_json(path)
    if not isinstance(fields.get("model"), dict):
        raise InputError(f"{path}: it has no model; save it again with transformers")
    return path.read_text("utf-8")


def _read_settings(folder: pathlib.Path) -> dict[str, Any]:
    """tokenizer_config.json, completed by the files that older and newer versions write."""
    settings = _read_optional(folder / "tokenizer_config.json")
    settings = _read_optional(folder / "special_tokens_map.json") | settings
    if (template := folder / "chat_template.jinja").is_file():
        settings["chat_template"] = template.read_text("utf-8")
    return settings


def _read_optional(path: pathlib.Path) -> dict[str, Any]:
    return _read_json(path) if path.is_file() else {}


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
      InputError: there is none.
    """
    try:
        fields = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}; expected a Hugging Face folder") from None
    if not isinstance(fields, dict):
        raise InputError(f"{path}: {str(fields)[:40]!r}; expected an object")
    return fields
