"""train --init_from: a checkpoint's weights, a new optimizer; refused where they don't fit."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import InputError, checkpoint, sharding
from codex_jax.checkpoint import Card, Checkpoints, Retention
from codex_jax.model import DecoderConfig, abstract_params, init
from codex_jax.train import optimizer as optimizers
from codex_jax.train import state as states
from codex_jax.train.initialization import Source, check_source, initial_state, select_model
from codex_jax.train.optimizer import Optimizer
from tests.train.counting import CountingBatches
from tests.train.test_loop import CONFIG, losses, run

TX = optimizers.make(Optimizer(warmup_steps=1), steps=4, axes=abstract_params(CONFIG)[1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 40 steps on counting rows, whose loss is below 1."""
    folder = tmp_path_factory.mktemp("trained")
    run(folder, steps=40, retention=Retention(keep_latest=9))
    return folder


def params_of(folder, config=CONFIG, step=None):
    return checkpoint.restore_params(folder, abstract_params(config)[0], step=step)


def load(folder, mesh=sharding.MeshShape(), dtype=jnp.float32, step=None):
    options = {"seed": 0, "dtype": dtype}
    source = Source(str(folder), step)
    return initial_state(source, CONFIG, TX, sharding.make_mesh(mesh), **options)


def test_weights_are_the_sources_and_the_rest_begins_anew(trained):
    state = load(trained)
    jax.tree.map(np.testing.assert_array_equal, state.params, params_of(trained))
    assert int(state.step) == 0
    moments = jax.tree.leaves(jax.tree.map(lambda leaf: float(abs(leaf).max()), state.optimizer))
    assert set(moments) == {0.0}


@pytest.mark.parametrize("mesh", [{"tensor": 4}, {"replica": 2}])
def test_any_mesh_takes_them_sharded_as_its_own_state_is(trained, mesh):
    shape = sharding.MeshShape(**mesh)
    state = load(trained, shape)
    expected = states.init_sharded(CONFIG, TX, sharding.make_mesh(shape), seed=0)
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True)
    assert all(a.sharding.is_equivalent_to(b.sharding, a.ndim) for a, b in pairs)
    jax.tree.map(np.testing.assert_array_equal, state.params, params_of(trained))


def test_weights_are_cast_to_the_stored_dtype_and_moments_are_not(trained):
    state = load(trained, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.bfloat16.dtype}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state.optimizer)} == {"float32", "int32"}


def test_training_begins_where_the_source_ended_and_resumes_without_it(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "source")
    settings = {"model": None, "init_from": str(copy), "log_every": 1, "save_every": 2}
    run(tmp_path / "run", steps=6, **settings)
    before = losses(tmp_path / "run")
    assert losses(trained)[0] > 3
    assert before[0] < 1
    assert checkpoint.read_card(tmp_path / "run").run["init_from"] == str(copy)
    shutil.rmtree(copy)
    shutil.rmtree(tmp_path / "run" / "6")  # as if killed after step 4
    run(tmp_path / "run", steps=6, **settings)
    assert losses(tmp_path / "run") == before


def test_a_step_can_be_set(trained):
    first = load(trained, step=5).params
    jax.tree.map(np.testing.assert_array_equal, first, params_of(trained, step=5))
    with pytest.raises(InputError, match="no step 6 here"):
        load(trained, step=6)


def test_a_resume_from_another_source_is_refused(trained, tmp_path):
    run(tmp_path, steps=5, init_from=str(trained))
    with pytest.raises(InputError, match=r"run.init_step: None, 5"):
        run(tmp_path, steps=5, init_from=str(trained), init_step=5)
    with pytest.raises(InputError, match=r"run.init_from: '.*', None"):
        run(tmp_path, steps=5)


@pytest.mark.parametrize(
    ("changed", "messages"),
    [
        ({"width": 64}, ["DecoderConfig.width: 32, 64", "embedding: saved [128, 32], expected"]),
        ({"layers": 1}, ["layers: 2, 1", "blocks/mlp/up: saved [2, 32, 128], expected [1, 32,"]),
        ({"tied": False}, ["tied: True, False", "unembedding: saved nothing, expected [32, 128]"]),
        ({"bias": False}, ["bias: True, False", "blocks/mlp/up_bias: saved [2, 128], expected"]),
        ({"max_length": 64}, ["max_length: 32, 64", ": saved [32, 32], expected [64, 32]"]),
        ({"activation": "quick_gelu"}, ["DecoderConfig.activation: 'gelu', 'quick_gelu'"]),
        ({"norm_eps": 1e-6}, ["DecoderConfig.norm_eps: 1e-05, 1e-06"]),
        ({"vocab_multiple": 64}, ["embedding: saved [128, 32], expected [64, 32]"]),
    ],
)
def test_another_model_is_refused_naming_every_difference(trained, tmp_path, changed, messages):
    model = dataclasses.replace(CONFIG, **changed)
    with pytest.raises(InputError) as caught:
        run(tmp_path, steps=5, model=model, init_from=str(trained))
    assert all(message in str(caught.value) for message in messages)
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_other_tokenizers_are_refused(trained):
    batches = CountingBatches()
    batches.tokenizer_hash = "another"
    with pytest.raises(InputError, match=r"trained with the tokenizer none, the rows.*another"):
        check_source(Source(str(trained)), CONFIG, batches)


def test_an_imported_model_may_have_more_ids_than_its_tokenizer(tmp_path):
    config = dataclasses.replace(CONFIG, vocab_size=100)
    card = Card(model=config.to_json(), tokenizer_hash="none", run={"imported": "theirs"})
    saved = Checkpoints(tmp_path / "imported")
    saved.save(0, init(config, jax.random.key(1)), {"imported": np.int32(1)}, card)
    saved.finish()
    saved.close()
    run(tmp_path / "run", steps=5, model=None, init_from=str(tmp_path / "imported"))
    assert checkpoint.read_card(tmp_path / "run").model == config.to_json()
    with pytest.raises(InputError, match="the data has 64 ids"):
        run(tmp_path / "again", steps=5, model=config)


def test_the_model_is_the_one_set_then_the_runs_then_the_sources(trained, tmp_path):
    rows = CountingBatches()
    other = DecoderConfig(vocab_size=64, layers=1, width=8, heads=1)
    assert select_model(other, str(trained), Source(), rows) == other
    assert select_model(None, str(trained), Source(), rows) == CONFIG
    assert select_model(None, str(tmp_path), Source(str(trained)), rows) == CONFIG
    with pytest.raises(InputError, match=r"not set: DecoderConfig.layers.*set init_from"):
        select_model(None, str(tmp_path), Source(), rows)
    with pytest.raises(InputError, match="no checkpoint here"):
        select_model(None, str(tmp_path), Source(str(tmp_path)), rows)


def test_ends_of_a_text_are_the_sources_after_a_resume_too(tmp_path):
    card = Card(model=CONFIG.to_json(), tokenizer_hash="none", eos_ids=[3, 5])
    saved = Checkpoints(tmp_path / "imported")
    saved.save(0, init(CONFIG, jax.random.key(1)), {"imported": np.int32(1)}, card)
    saved.finish()
    saved.close()
    settings = {"model": None, "init_from": str(tmp_path / "imported"), "steps": 5}
    run(tmp_path / "run", **settings, save_every=3)
    shutil.rmtree(tmp_path / "imported")
    shutil.rmtree(tmp_path / "run" / "5")
    run(tmp_path / "run", **settings, save_every=3)
    assert checkpoint.read_card(tmp_path / "run").eos_ids == [3, 5]
