"""GGUF files: config, tokens, and dequantized weights."""

import pathlib

import numpy as np

from codex_jax import InputError
from codex_jax.convert.foreign import ForeignCheckpoint
from codex_jax.convert.tokenizers import PATTERNS


def open_gguf(path: pathlib.Path) -> ForeignCheckpoint:
    """Opens a .gguf file.

    Raises:
      InputError: no such file, or a pre-tokenizer without a pattern.
    """
    import gguf

    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a .gguf")
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    architecture = str(fields["general.architecture"])
    tensors = {tensor.name: tensor for tensor in reader.tensors}

    def read_tensor(name: str) -> np.ndarray:
        if name not in tensors:
            raise InputError(f"{path}: no tensor {name}")
        return gguf.dequantize(tensors[name].data, tensors[name].tensor_type)

    config = {name.removeprefix(f"{architecture}."): value for name, value in fields.items()}
    tokens = fields["tokenizer.ggml.tokens"]
    config |= {"vocab_size": len(tokens), "tied": "output.weight" not in tensors}
    types = fields["tokenizer.ggml.token_type"]
    special = {n for n, token_type in enumerate(types) if token_type != gguf.TokenType.NORMAL}
    name = fields.get("tokenizer.ggml.pre", "gpt-2")
    if name not in PATTERNS:
        raise InputError(f"{path}: its tokenizer splits by {name!r}; no pattern of ours does")
    family = f"gguf:{architecture}"
    return ForeignCheckpoint(family, config, read_tensor, tokens, special, PATTERNS[name])
