"""Hugging Face folders: config.json, tokenizer.json, and their weights."""

import json
import pathlib
from typing import Any

from codex_jax import InputError
from codex_jax.convert.foreign import ForeignCheckpoint
from codex_jax.convert.hf_weights import open_weights
from codex_jax.convert.tokenizers import read_pattern


def open_folder(folder: pathlib.Path) -> ForeignCheckpoint:
    """Opens a Hugging Face folder.

    Raises:
      InputError: a missing file, or a tokenizer that none of our patterns equals.
    """
    config = _read_json(folder / "config.json")
    weights = open_weights(folder)
    vocabulary = _read_json(folder / "tokenizer.json")
    tokens, added = _read_tokens(vocabulary, folder)
    family = config.get("model_type", "")
    return ForeignCheckpoint(family, config, weights, tokens, added, read_pattern(vocabulary))


def _read_tokens(vocabulary: dict[str, Any], folder: pathlib.Path) -> tuple[list[str], set[int]]:
    """(spellings in the order of ids, ids of added tokens) of a tokenizer.json."""
    added = {token["id"]: token["content"] for token in vocabulary.get("added_tokens", [])}
    spellings = {n: spelling for spelling, n in vocabulary["model"]["vocab"].items()} | added
    if gaps := set(range(len(spellings))) - spellings.keys():
        raise InputError(f"{folder}/tokenizer.json: no token has the id {min(gaps)}")
    return [spellings[n] for n in range(len(spellings))], set(added)


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}; expected a Hugging Face folder") from None
