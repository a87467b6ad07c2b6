"""`codex-jax import`: a foreign checkpoint to ours, with its tokenizer."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from codex_jax import InputError, checkpoint, progress
from codex_jax.convert import hf_config, hf_params
from codex_jax.convert.foreign import ForeignCheckpoint
from codex_jax.convert.gguf import open_gguf
from codex_jax.convert.hf_folder import open_folder
from codex_jax.convert.new_folder import new_folder
from codex_jax.convert.text_ends import read_begin_ids
from codex_jax.convert.tokenizers import make_tokenizer
from codex_jax.files import check_creatable
from codex_jax.model.config import DecoderConfig
from codex_jax.tokenizer import Tokenizer

# Keys of a foreign config that an export writes again.
_METADATA = ("architectures", "bos_token_id", "eos_token_id", "pad_token_id")


def import_weights(*, source: str, output: str, tokenizer: str = "tokenizer.json") -> None:
    """Converts a foreign checkpoint and its tokenizer to ours.

    Families: GPT-2, Llama (SmolLM2, DeepSeek-Coder), Mistral, Qwen2, Qwen3, Gemma, Granite,
    StarCoder2, GPT-NeoX (Pythia), GPT-J, CodeGen; from Hugging Face folders, and Llama, Qwen2 and
    Qwen3 from GGUF (dequantized). A key or tensor that isn't understood stops the import.

    Args:
      source: A folder with config.json, tokenizer.json and *.safetensors, or a .gguf file.
      output: Directory of the checkpoint.
      tokenizer: File of the tokenizer to write.
    """
    path = pathlib.Path(source)
    if os.path.lexists(tokenizer):
        raise InputError(f"{tokenizer} is there already; set tokenizer to a new file")
    check_creatable(tokenizer, "tokenizer")
    with new_folder(output) as folder:
        with _refused_forms(path):
            foreign = open_gguf(path) if path.suffix == ".gguf" else open_folder(path)
            config = hf_params.read_config(foreign.family, foreign.config)
            our_tokenizer, card = _read_text(path, foreign, config)
        params = _read_params(foreign, config)
        checkpoints = checkpoint.Checkpoints(folder)
        checkpoints.save(0, params, {"imported": np.int32(1)}, card)
        checkpoints.finish()
        checkpoints.close()
        final, file = pathlib.Path(output).resolve(), pathlib.Path(tokenizer).resolve()
        is_inside = file.is_relative_to(final)
        our_tokenizer.save(folder / file.relative_to(final) if is_inside else file)


@contextlib.contextmanager
def _refused_forms(path: pathlib.Path) -> Iterator[None]:
    """Refuses a file whose values have other types than its form has.

    Raises:
      InputError: says which.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise InputError(
            f"{path}: a config or tokenizer file has a value of another form ({reason}); "
            "download it again"
        ) from None


def _read_text(
    path: pathlib.Path, foreign: ForeignCheckpoint, config: DecoderConfig
) -> tuple[Tokenizer, checkpoint.Card]:
    """Our tokenizer, and the card with the tokens that begin and end a text."""
    eos_ids = [n for n in foreign.eos_ids if 0 <= n < config.vocab_size]  # others never occur
    tokenizer = make_tokenizer(foreign.tokenizer, vocab_size=config.vocab_size, eos_ids=eos_ids)
    card = checkpoint.Card(
        model=config.to_json(),
        tokenizer_hash=tokenizer.hash,
        run={"imported": path.name},
        eos_ids=eos_ids,
        begin_ids=read_begin_ids(foreign.tokenizer),
        origin=_origin(foreign),
    )
    return tokenizer, card


def _read_params(foreign: ForeignCheckpoint, config: DecoderConfig) -> Any:
    """Our parameters, once every tensor of the file is understood."""
    scales = hf_config.read_scales(foreign.family, foreign.config)
    with progress.bar(desc="import", unit="tensor") as bar:

        def read_tensor(name: str) -> np.ndarray:
            bar.update()
            return foreign.weights.read_tensor(name)

        params = hf_params.read_params(foreign.family, config, read_tensor, scales)
    foreign.weights.check_unread()
    return params


def _origin(foreign: ForeignCheckpoint) -> dict[str, Any]:
    """The foreign model's fields that logits don't depend on, for an export of the same family."""
    config = {name: foreign.config[name] for name in _METADATA if name in foreign.config}
    dtype = foreign.config.get("dtype") or foreign.config.get("torch_dtype") or "float32"
    family = foreign.family.removeprefix("gguf:")
    return {"family": family, "dtype": dtype, "config": config, "generation": foreign.generation}
