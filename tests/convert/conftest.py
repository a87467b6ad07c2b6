"""A Hugging Face folder of a small Llama."""

import json

import jax
import pytest

from codex_jax import checkpoint, model
from tests.convert.small_tokenizer import small_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Hugging Face folder of a small Llama with a tokenizer like SmolLM2's."""
    pytest.importorskip("safetensors")
    root = tmp_path_factory.mktemp("foreign")
    config = model.DecoderConfig(
        vocab_size=300,
        layers=1,
        width=16,
        heads=2,
        norm="rmsnorm",
        positions="rotary",
        activation="swiglu",
        bias=False,
        vocab_multiple=1,
    )
    params = jax.jit(model.init, static_argnums=0)(config, jax.random.key(0))
    saved = checkpoint.Checkpoints(root / "ours")
    saved.save(3, params, {"step": 3}, checkpoint.Card(model=config.to_json()))
    saved.finish()
    saved.close()
    from codex_jax.convert.export import export_weights

    export_weights(checkpoint_dir=str(root / "ours"), output=str(root / "theirs"))
    write_tokenizer(root / "theirs")
    return root


def write_tokenizer(folder, **changes):
    (folder / "tokenizer.json").write_text(json.dumps(small_tokenizer(**changes)))
