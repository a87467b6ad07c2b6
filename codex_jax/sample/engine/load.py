"""Loads a checkpoint's card, and its model into an engine."""

import concurrent.futures
import hashlib

import jax

from codex_jax import InputError, checkpoint, model
from codex_jax.host_runtime import gc_disabled
from codex_jax.remote.paths import list_files, to_path
from codex_jax.sample.engine import shardings
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.memory import fit_to_devices
from codex_jax.sample.engine.state import EngineShape
from codex_jax.sample.sampling.text_ends import read_ends
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer

_SMALL_FILE = 1 << 16  # bytes


def read_card(
    checkpoint_dir: str, step: int | None, tokenizer_path: str, tokenizer: Tokenizer
) -> checkpoint.Card:
    """The checkpoint's card.

    Raises:
      InputError: no such checkpoint, or one that was trained with another tokenizer.
    """
    card = checkpoint.read_card(checkpoint_dir, step=step)
    if card.tokenizer_hash != tokenizer.hash:
        raise InputError(
            f"{tokenizer_path} has hash {tokenizer.hash[:12]}, the checkpoint was trained with "
            f"{card.tokenizer_hash[:12]}; set tokenizer to the file that it was trained with"
        )
    return card


def weights_fingerprint(checkpoint_dir: str, step: int) -> str:
    """Returns a hash that changes when a step's weights are written anew.

    It covers the names and sizes of the weights' files and the content of the small ones, which
    name the large ones; a copy of the folder has the same.
    """
    folder = to_path(checkpoint_dir) / str(step) / "params"
    digest = hashlib.sha256()
    for name, size in sorted(list_files(folder).items(), key=lambda row: row[0].split("/")):
        digest.update(f"{name}\0{size}\0".encode())
        if size <= _SMALL_FILE:
            digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


def check_devices(card: checkpoint.Card, shape: EngineShape, mesh_shape: MeshShape) -> None:
    """Raises InputError where this host's devices don't suit the sizes; reads no weights."""
    config = model.DecoderConfig.from_json(card.model)
    mesh = shardings.make_mesh(mesh_shape, config, shape.rows, jax.local_devices())
    fit_to_devices(config, shape, mesh)


def load_engine(
    checkpoint_dir: str,
    card: checkpoint.Card,
    shape: EngineShape,
    mesh_shape: MeshShape,
    tokenizer: Tokenizer,
    *,
    prompt_tokens: int = 1,
) -> Engine:
    """The checkpoint's model on this host's devices; it is read while the loop is compiled.

    Args:
      checkpoint_dir: Directory that train wrote.
      card: The card of the step to load.
      shape: Sizes that are compiled in.
      mesh_shape: Devices along each mesh axis.
      tokenizer: The one that the model was trained with.
      prompt_tokens: Length of the first prompt.
    """
    config = model.DecoderConfig.from_json(card.model)
    mesh = shardings.make_mesh(mesh_shape, config, shape.rows, jax.local_devices())
    shapes = shardings.params_shapes(config, mesh)
    token_bytes = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    token_bytes += [b""] * (config.vocab_size - len(token_bytes))
    with gc_disabled(), concurrent.futures.ThreadPoolExecutor(1) as thread:
        params = thread.submit(checkpoint.restore_params, checkpoint_dir, shapes, step=card.step)
        return Engine(
            config,
            params.result,
            shape,
            token_bytes=token_bytes,
            eos_ids=read_ends(card, tokenizer).eos_ids,
            special_ids=tokenizer.special_ids,
            mesh=mesh,
            prompt_tokens=prompt_tokens,
        )
