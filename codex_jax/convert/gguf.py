"""GGUF files: config, tokens, and dequantized weights."""

import pathlib
from typing import Any

import numpy as np

from codex_jax import InputError
from codex_jax.convert.foreign import ForeignCheckpoint, ForeignWeights
from codex_jax.convert.gguf_tokenizer import read_eos_ids, read_tokenizer
from codex_jax.convert.rope_factors import read_factors


def open_gguf(path: pathlib.Path) -> ForeignCheckpoint:
    """Opens a .gguf file.

    Raises:
      InputError: no such file, or a pre-tokenizer without a pattern.
    """
    import gguf

    reader = _read(path)
    try:
        fields = {name: field.contents() for name, field in reader.fields.items()}
        architecture = str(fields["general.architecture"])
        vocab_size = len(fields["tokenizer.ggml.tokens"])
        _ = fields["tokenizer.ggml.token_type"]
    except KeyError as error:
        raise InputError(f"{path}: no key {error.args[0]}; expected a language model") from None
    tensors = {tensor.name: tensor for tensor in reader.tensors}

    def read(name: str) -> np.ndarray:
        try:
            return gguf.dequantize(tensors[name].data, tensors[name].tensor_type)
        except NotImplementedError:
            raise InputError(
                f"{path}: {name} is {tensors[name].tensor_type.name}, which can't be dequantized; "
                "import an F16 or Q8_0 file"
            ) from None

    tokenizer = read_tokenizer(path, fields)
    weights = ForeignWeights(str(path), tensors, read)
    config = _config(fields, architecture, weights, vocab_size)
    eos_ids = read_eos_ids(fields)
    return ForeignCheckpoint(f"gguf:{architecture}", config, weights, tokenizer, eos_ids, {})


def _read(path: pathlib.Path):
    """The file, opened.

    Raises:
      InputError: no such file, or one that is cut, empty or of another form.
    """
    import gguf

    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a .gguf")
    try:
        reader = gguf.GGUFReader(path)
        end = max((t.data_offset + t.n_bytes for t in reader.tensors), default=0)
        if not end or end > path.stat().st_size:
            raise ValueError(f"{path.stat().st_size} bytes, its tensors end at {end}")
    except (ValueError, IndexError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{path}: not a complete GGUF file ({error}); download it again") from None
    return reader


def _config(
    fields: dict[str, Any], architecture: str, weights: ForeignWeights, vocab_size: int
) -> dict[str, Any]:
    """The config's keys without the architecture's name, and those that tensors imply.

    Raises:
      InputError: sizes that our tables can't express.
    """
    config = {name.removeprefix(f"{architecture}."): value for name, value in fields.items()}
    head_size = config.get("attention.key_length")
    head_size = head_size or config["embedding_length"] // config["attention.head_count"]
    for name in ("rope.dimension_count", "attention.value_length"):
        if config.pop(name, head_size) != head_size:
            raise InputError(f"{name} differs from the head size {head_size}; import another model")
    rope = {
        name.removeprefix("rope.scaling."): config.pop(name)
        for name in list(config)
        if name.startswith("rope.scaling.")
    }
    if (scaling := rope.pop("type", "none")) != "none":
        original = rope.pop("original_context_length", None)
        rope |= {"type": scaling, "original_max_position_embeddings": original}
        config["rope_scaling"] = rope
    elif "rope_freqs.weight" in weights.names:
        base = config.get("rope.freq_base", 10_000.0)
        config["rope_scaling"] = read_factors(weights.read_tensor("rope_freqs.weight"), base)
    elif rope.pop("factor", 1.0) not in (0.0, 1.0):
        raise InputError("rope.scaling.factor without rope.scaling.type; import another model")
    biases = {"qkv_bias": "attn_q", "out_bias": "attn_output", "mlp_bias": "ffn_up"}
    if architecture == "llama":
        config |= {key: f"blk.0.{name}.bias" in weights.names for key, name in biases.items()}
    return config | {"vocab_size": vocab_size, "tied": "output.weight" not in weights.names}
