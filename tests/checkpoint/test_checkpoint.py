"""Checkpoints: whole or not there, strict, and on any mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import InputError, checkpoint, sharding
from codex_jax.checkpoint import Card, Checkpoints
from codex_jax.model import DecoderConfig, abstract_params, init

CONFIG = DecoderConfig(vocab_size=128, layers=2, width=64, heads=4)
CARD = Card(model=CONFIG.to_json(), tokenizer_hash="abc", run={"seed": 1})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    params = init(CONFIG, jax.random.key(0))
    checkpoints = Checkpoints(directory)
    for step in (3, 7):
        checkpoints.save(step, params, {"step": jnp.int32(step)}, CARD)
    checkpoints.finish()
    checkpoints.close()
    return directory, params


def test_the_newest_is_restored_with_its_card(saved):
    directory, params = saved
    card = checkpoint.read_card(directory)
    assert (card.step, card.tokenizer_hash) == (7, "abc")
    assert DecoderConfig.from_json(card.model) == CONFIG
    restored = checkpoint.restore_params(directory, abstract_params(CONFIG)[0])
    jax.tree.map(np.testing.assert_array_equal, restored, params)
    assert checkpoint.read_card(directory, step=3).step == 3


@pytest.mark.parametrize("shape", [{"tensor": 4}, {"replica": 2}, {"fsdp": 8}])
def test_another_mesh_restores_the_same_numbers(saved, shape):
    directory, params = saved
    shapes, axes = abstract_params(CONFIG)
    placed = sharding.shardings(shapes, axes, sharding.make_mesh(sharding.MeshShape(**shape)))
    target = jax.tree.map(
        lambda s, p: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=p), shapes, placed
    )
    restored = checkpoint.restore_params(directory, target)
    jax.tree.map(np.testing.assert_array_equal, restored, params)
    assert restored["blocks"]["mlp"]["up"].sharding == placed["blocks"]["mlp"]["up"]


def test_another_model_is_refused_naming_every_difference(saved):
    directory, _ = saved
    other = DecoderConfig(vocab_size=128, layers=2, width=64, heads=4, mlp_size=32, bias=False)
    with pytest.raises(InputError) as caught:
        checkpoint.restore_params(directory, abstract_params(other)[0])
    message = str(caught.value)
    assert "blocks/mlp/up: saved [2, 64, 256], expected [2, 64, 32]" in message
    assert "blocks/mlp/up_bias: saved [2, 256], expected nothing" in message
    assert "\n" not in message


def test_cards_tell_what_differs():
    other = Card(model=CONFIG.to_json() | {"layers": 3}, tokenizer_hash="abc", run={"seed": 2})
    assert CARD.differences(other) == ["model.layers: 2, 3", "run.seed: 1, 2"]
    assert CARD.differences(CARD) == []


def test_a_folder_without_checkpoints_is_one_line(tmp_path, saved):
    with pytest.raises(InputError, match="no checkpoint here"):
        checkpoint.read_card(tmp_path)
    with pytest.raises(InputError, match="no step 5 here; newest is 7"):
        checkpoint.read_card(saved[0], step=5)
    assert not any(tmp_path.iterdir())


def test_a_save_that_orbax_skips_is_an_error(saved):
    directory, params = saved
    checkpoints = Checkpoints(directory)
    with pytest.raises(InputError, match="step 7 was not saved, as step 7 is there already"):
        checkpoints.save(7, params, {"step": jnp.int32(7)}, CARD)
    checkpoints.close()
