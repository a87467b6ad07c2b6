"""A training step: every mesh equals one device, accumulation equals a large batch."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import model, sharding
from codex_jax.model import DecoderConfig
from codex_jax.train import optimizer, remat, state, step
from codex_jax.train.compute import Compute, jit_step
from tests.train.counting import CountingBatches

CONFIG = DecoderConfig(vocab_size=64, layers=2, width=32, heads=4, max_length=32)


def make_tx():
    recipe = optimizer.Optimizer(warmup_steps=1, learning_rate=1e-2)
    return optimizer.make(recipe, steps=10, axes=model.abstract_params(CONFIG)[1])


def two_steps(mesh, **compute):
    tx = make_tx()
    train_state = state.init_sharded(CONFIG, tx, mesh, seed=0)
    take_step = jit_step(CONFIG, tx, Compute(**compute), mesh)
    metrics = []
    for n in range(2):
        batch = jax.device_put(CountingBatches().batch(n), sharding.batch_sharding(mesh))
        train_state, values = take_step(train_state, batch)
        metrics.append(jax.tree.map(float, values))
    return jax.device_get(train_state.params), metrics


@functools.cache
def one_device():
    return two_steps(sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1]))


def assert_same(result, reference, tolerance=2e-5):
    for metrics, expected in zip(result[1], reference[1], strict=True):
        assert metrics == pytest.approx(expected, rel=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=tolerance), result[0], reference[0]
    )


MESHES = [
    {"fsdp": 8},
    {"fsdp": 2, "tensor": 4},
    {"replica": 8, "fsdp": 1},
    {"fsdp": 2, "context": 4},
    {"replica": 2, "fsdp": 2, "tensor": 2},
    {"fsdp": 2, "tensor": 2, "context": 2},
]


@pytest.mark.parametrize("shape", MESHES, ids=str)
def test_every_mesh_equals_one_device(shape):
    assert_same(two_steps(sharding.make_mesh(sharding.MeshShape(**shape))), one_device())


def compiled_step(preset, config):
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    tx = make_tx()
    train_state = state.init_sharded(config, tx, mesh, seed=0)
    take_step = jit_step(config, tx, Compute(remat=preset), mesh)
    return take_step.lower(train_state, CountingBatches().batch(0)).compile()


def temporary_bytes(preset, config):
    return compiled_step(preset, config).memory_analysis().temp_size_in_bytes


def test_adamw_reads_and_writes_its_arrays_once_on_a_cpu():
    """No array is made of a weight's shape but gradients and the new weight and moments."""
    config = dataclasses.replace(CONFIG, mlp_size=72)
    entry = compiled_step("none", config).as_text().partition("ENTRY")[2]
    made = re.findall(r"= f32\[2,32,72\]\S* (\w+)\(", entry)
    assert "copy" not in made
    assert sum(name != "parameter" for name in made) <= 5, made


def test_recomputation_saves_memory_on_one_device():
    config = dataclasses.replace(CONFIG, layers=16)
    assert temporary_bytes("full", config) < 0.5 * temporary_bytes("none", config)


MEMORY_SAVERS = [
    {"microbatches": 4},
    {"loss_chunks": 8},
    *({"remat": preset} for preset in remat.PRESETS if preset != "none"),
]


@pytest.mark.parametrize("compute", MEMORY_SAVERS, ids=str)
def test_memory_savers_change_nothing(compute):
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    assert_same(two_steps(mesh, **compute), one_device())


def test_the_state_is_initialized_sharded():
    mesh = sharding.make_mesh(sharding.MeshShape(fsdp=8))
    initial = state.init_sharded(CONFIG, make_tx(), mesh, seed=0)
    up = initial.params["blocks"]["mlp"]["up"]
    assert up.addressable_shards[0].data.shape == (2, 32 // 8, 128)
    moments = [leaf for leaf in jax.tree.leaves(initial.optimizer) if leaf.shape == up.shape]
    assert len(moments) == 2
    assert {m.sharding.spec for m in moments} == {up.sharding.spec}


def test_padding_does_not_count():
    batch = jax.tree.map(jnp.asarray, CountingBatches().batch(0))
    params = model.init(CONFIG, jax.random.key(0))
    other = batch._replace(targets=jnp.where(batch.loss_weights > 0, batch.targets, 5))
    losses = [step.loss_sum(CONFIG, params, b) for b in (batch, other)]
    assert losses[0] == losses[1]


def test_initial_models_guess_uniformly():
    batch = jax.tree.map(jnp.asarray, CountingBatches().batch(0))
    loss = step.loss_sum(CONFIG, model.init(CONFIG, jax.random.key(0)), batch)
    assert loss / batch.loss_weights.sum() == pytest.approx(np.log(64), rel=0.02)


def test_gradient_is_that_of_the_mean_loss():
    """A unit step along one weight changes the loss as its gradient says (finite differences)."""
    params = model.init(CONFIG, jax.random.key(0))
    batch = jax.tree.map(jnp.asarray, CountingBatches().batch(0))
    loss = functools.partial(step.loss_sum, CONFIG)
    total, weight, grads = step.gradients(loss, params, batch, microbatches=2)
    nudged = params | {"embedding": params["embedding"].at[5, 3].add(1e-2)}
    change = (loss(nudged, batch) - total) / 1e-2
    assert grads["embedding"][5, 3] == pytest.approx(float(change), rel=0.1)
    assert weight == batch.loss_weights.sum()
