"""`codex-jax export`: a checkpoint of ours as a Hugging Face folder."""

import json
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from codex_jax import InputError, checkpoint, model
from codex_jax.convert import hf_params
from codex_jax.convert.new_folder import new_folder
from codex_jax.tokenizer import Tokenizer

# transformers' classes.
_ARCHITECTURES = {
    "codegen": "CodeGenForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "gpt_neox": "GPTNeoXForCausalLM",
    "gptj": "GPTJForCausalLM",
    "granite": "GraniteForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
}
_DTYPES = ("float32", "bfloat16", "float16")


def export_weights(
    *,
    checkpoint_dir: str,
    output: str,
    family: str = "",
    tokenizer: str = "",
    step: int | None = None,
    dtype: str = "",
) -> None:
    """Writes a checkpoint of ours as a Hugging Face folder: its config, weights and tokenizer.

    Args:
      checkpoint_dir: Directory that train or import wrote.
      output: Folder to write.
      tokenizer: The checkpoint's tokenizer (tokenizer.json) to write too; empty writes none.
      family: "gpt2" (layer norm, learned positions), "llama", "qwen2", "starcoder2", "gpt_neox",
        "gptj", "codegen", ...; empty is the one it was imported as, else "llama".
      step: Checkpoint to export; default: the newest.
      dtype: "float32", "bfloat16" or "float16"; empty is the imported model's, else "float32".
    """
    card = checkpoint.read_card(checkpoint_dir, step=step)
    family = family or card.origin.get("family", "llama")
    if family not in _ARCHITECTURES:
        raise InputError(f"family is {family!r}; expected one of {', '.join(_ARCHITECTURES)}")
    dtype = dtype or card.origin.get("dtype", "float32")
    if dtype not in _DTYPES:
        raise InputError(f"dtype is {dtype!r}; expected one of {', '.join(_DTYPES)}")
    config = model.DecoderConfig.from_json(card.model)
    fields = hf_params.write_config(family, config)
    vocabulary = _read_tokenizer(tokenizer, card) if tokenizer else None
    with new_folder(output) as folder:
        ends = _ends(card, vocabulary)
        _write_tensors(folder, family, config, card.step, checkpoint_dir, dtype)
        head = {"model_type": family, "architectures": [_ARCHITECTURES[family]]}
        original = card.origin.get("config", {}) if card.origin.get("family") == family else {}
        _write_json(
            folder / "config.json", head | fields | {"torch_dtype": dtype} | ends | original
        )
        generation = card.origin.get("generation") or ends
        _write_json(folder / "generation_config.json", generation)
        if vocabulary:
            begin_ids = [vocabulary.eos_id] if card.begin_ids is None else card.begin_ids
            vocabulary.export(folder, begin_ids=begin_ids)


def _write_tensors(
    folder: pathlib.Path, family: str, config: Any, step: int, checkpoint_dir: str, dtype: str
) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    shapes, _ = model.abstract_params(config)
    params = checkpoint.restore_params(checkpoint_dir, shapes, step=step)
    tensors = hf_params.write_params(family, config, params)
    stored = {name: _to_dtype(name, tensor, dtype) for name, tensor in tensors.items()}
    try:
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(str(error)) from None  # as other files of a full disk


def _to_dtype(name: str, tensor: np.ndarray, dtype: str) -> np.ndarray:
    """The tensor as it is stored.

    Raises:
      InputError: a value that isn't finite, or isn't in that dtype.
    """
    with np.errstate(over="ignore"):
        stored = tensor.astype(jnp.dtype(dtype))
    if count := int((~np.isfinite(stored)).sum()):
        largest = np.abs(tensor.astype(np.float32)).max()
        raise InputError(
            f"{count} of the {stored.size} values of {name} are NaN or infinite in {dtype} (the "
            f"largest is {largest:g}); set dtype to a wider one, or step to another"
        )
    return stored


def _write_json(path: pathlib.Path, fields: dict[str, Any]) -> None:
    path.write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _ends(card: checkpoint.Card, tokenizer: Tokenizer | None) -> dict[str, Any]:
    """The ids that begin and end a text, as Hugging Face's configs have them."""
    default = [tokenizer.eos_id] if tokenizer else []
    eos_ids = card.eos_ids or default
    begin_ids = default if card.begin_ids is None else card.begin_ids
    eos: Any = eos_ids[0] if len(eos_ids) == 1 else eos_ids or None
    return {"bos_token_id": begin_ids[0] if begin_ids else None, "eos_token_id": eos}


def _read_tokenizer(path: str, card: checkpoint.Card) -> Tokenizer:
    """The checkpoint's tokenizer.

    Raises:
      InputError: the checkpoint was trained with another one.
    """
    tokenizer = Tokenizer.load(path)
    if card.tokenizer_hash != tokenizer.hash:
        raise InputError(
            f"{path} hashes to {tokenizer.hash[:12]}, the checkpoint was trained with "
            f"{card.tokenizer_hash[:12]}; set tokenizer to that one"
        )
    return tokenizer
