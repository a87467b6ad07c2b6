"""Hugging Face folders: config.json, tokenizer.json, and tensors of *.safetensors."""

import json
import pathlib
from typing import Any

import numpy as np

from codex_jax import InputError
from codex_jax.convert.foreign import ForeignCheckpoint
from codex_jax.convert.tokenizers import read_pattern


def open_folder(folder: pathlib.Path) -> ForeignCheckpoint:
    """Opens a Hugging Face folder.

    Raises:
      InputError: a missing file, or a tokenizer that none of our patterns equals.
    """
    from safetensors import safe_open

    config = _read_json(folder / "config.json")
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise InputError(f"{folder}: no *.safetensors in it; expected a Hugging Face folder")
    shards = [safe_open(path, framework="numpy") for path in paths]
    shard_of = {name: shard for shard in shards for name in shard.keys()}  # noqa: SIM118

    def read_tensor(name: str) -> np.ndarray:
        neox_name = "embed_out.weight" if name == "lm_head.weight" else name
        for candidate in (name, f"transformer.{name}", neox_name):
            if candidate in shard_of:
                return shard_of[candidate].get_tensor(candidate)
        raise InputError(f"{folder}: no tensor {name}")

    vocabulary = _read_json(folder / "tokenizer.json")
    tokens, added = _read_tokens(vocabulary, folder)
    has_unembedding = bool({"lm_head.weight", "embed_out.weight"} & shard_of.keys())
    config.setdefault("tie_word_embeddings", not has_unembedding)
    _flatten_rope(config)
    family = config.get("model_type", "")
    return ForeignCheckpoint(family, config, read_tensor, tokens, added, read_pattern(vocabulary))


def _read_tokens(vocabulary: dict[str, Any], folder: pathlib.Path) -> tuple[list[str], set[int]]:
    """(spellings in the order of ids, ids of added tokens) of a tokenizer.json."""
    added = {token["id"]: token["content"] for token in vocabulary.get("added_tokens", [])}
    spellings = {n: spelling for spelling, n in vocabulary["model"]["vocab"].items()} | added
    if gaps := set(range(len(spellings))) - spellings.keys():
        raise InputError(f"{folder}/tokenizer.json: no token has the id {min(gaps)}")
    return [spellings[n] for n in range(len(spellings))], set(added)


def _flatten_rope(config: dict[str, Any]) -> None:
    """Copies transformers 5's rope_parameters to the keys of earlier versions."""
    rope = config.get("rope_parameters") or {}
    for name in ("rope_theta", "rotary_emb_base"):
        config.setdefault(name, rope.get("rope_theta"))
    config.setdefault("rotary_pct", rope.get("partial_rotary_factor"))


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}; expected a Hugging Face folder") from None
