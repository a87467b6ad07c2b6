"""`codex-jax import` and `export`: foreign checkpoints to ours and back, with their tokenizers."""

import dataclasses
import json
import pathlib

import numpy as np

from codex_jax import InputError, checkpoint, model, progress
from codex_jax.convert import hf_config, hf_params
from codex_jax.convert.gguf import open_gguf
from codex_jax.convert.hf_folder import open_folder
from codex_jax.convert.tokenizers import make_tokenizer
from codex_jax.tokenizer import Tokenizer


def import_weights(*, source: str, output: str, tokenizer: str = "tokenizer.json") -> None:
    """Converts a foreign checkpoint and its tokenizer to ours.

    Families: GPT-2, Llama (SmolLM2, DeepSeek-Coder), Mistral, Qwen2, Qwen3, Gemma, Granite,
    StarCoder2, GPT-NeoX (Pythia), GPT-J, CodeGen; from Hugging Face folders, and Llama, Qwen2 and
    Qwen3 from GGUF (dequantized). A key or tensor that isn't understood stops the import. A
    sliding window becomes the longest text allowed.

    Args:
      source: A folder with config.json, tokenizer.json and *.safetensors, or a .gguf file.
      output: Directory of the checkpoint.
      tokenizer: File of the tokenizer to write.
    """
    path = pathlib.Path(source)
    _check_new(output, tokenizer)
    foreign = open_gguf(path) if path.suffix == ".gguf" else open_folder(path)
    config = hf_params.read_config(foreign.family, foreign.config)
    scales = hf_config.read_scales(foreign.family, foreign.config)
    if config.window:  # texts within the window, which are all allowed, see all of themselves
        config = dataclasses.replace(config, max_length=config.window, window=0)
    our_tokenizer = make_tokenizer(foreign.tokens, foreign.special, foreign.pattern)
    with progress.bar(desc="import", unit="tensor") as bar:

        def read_tensor(name: str) -> np.ndarray:
            bar.update()
            return foreign.weights.read_tensor(name)

        params = hf_params.read_params(foreign.family, config, read_tensor, scales)
    foreign.weights.check_unread()
    card = checkpoint.Card(
        model=config.to_json(), tokenizer_hash=our_tokenizer.hash, run={"imported": path.name}
    )
    checkpoints = checkpoint.Checkpoints(output)
    checkpoints.save(0, params, {"imported": np.int32(1)}, card)
    checkpoints.finish()
    checkpoints.close()
    our_tokenizer.save(tokenizer)


def _check_new(output: str, tokenizer: str) -> None:
    """Refuses to overwrite: an import writes a new folder and a new file.

    Raises:
      InputError: one of them is there already.
    """
    folder = pathlib.Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{output} is there already; set output to a new folder")
    if pathlib.Path(tokenizer).exists():
        raise InputError(f"{tokenizer} is there already; set tokenizer to a new file")


def export_weights(
    *,
    checkpoint_dir: str,
    output: str,
    family: str = "llama",
    tokenizer: str = "",
    step: int | None = None,
) -> None:
    """Writes a checkpoint of ours as a Hugging Face folder: its config, weights and tokenizer.

    Args:
      checkpoint_dir: Directory that train or import wrote.
      output: Folder to write.
      tokenizer: The checkpoint's tokenizer (tokenizer.json) to write too; empty writes none.
      family: "gpt2" (layer norm, learned positions), "llama", "qwen2", "starcoder2", "gpt_neox",
        "gptj" or "codegen".
      step: Checkpoint to export; default: the newest.
    """
    from safetensors.numpy import save_file

    families = sorted(name for name in hf_params.FAMILIES if ":" not in name)
    if family not in families:
        raise InputError(f"family is {family!r}; expected one of {', '.join(families)}")
    card = checkpoint.read_card(checkpoint_dir, step=step)
    config = model.DecoderConfig.from_json(card.model)
    fields = hf_params.write_config(family, config)
    shapes, _ = model.abstract_params(config)
    params = checkpoint.restore_params(checkpoint_dir, shapes, step=card.step)
    folder = pathlib.Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{output} is there already; set output to a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer:
        eos_id = _export_tokenizer(tokenizer, card, folder)
        fields |= {"eos_token_id": eos_id, "bos_token_id": eos_id}
    save_file(hf_params.write_params(family, config, params), folder / "model.safetensors")
    text = json.dumps({"model_type": family, **fields}, indent=1)
    (folder / "config.json").write_text(text + "\n", "utf-8")


def _export_tokenizer(path: str, card: checkpoint.Card, folder: pathlib.Path) -> int:
    """Writes the tokenizer to the folder; returns the id of its end of text.

    Raises:
      InputError: the checkpoint was trained with another tokenizer.
    """
    tokenizer = Tokenizer.load(path)
    if card.tokenizer_hash != tokenizer.hash:
        raise InputError(
            f"{path} hashes to {tokenizer.hash[:12]}, the checkpoint was trained with "
            f"{card.tokenizer_hash[:12]}; set tokenizer to that one"
        )
    tokenizer.export(folder)
    return tokenizer.eos_id
