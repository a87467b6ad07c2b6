"""Schedules at their corners, and what weight decay touches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from codex_jax import InputError, sharding
from codex_jax.checkpoint import Card, Checkpoints
from codex_jax.model import DecoderConfig, abstract_params
from codex_jax.train import optimizer, state
from codex_jax.train.compute import Compute, jit_step
from codex_jax.train.optimizer import Optimizer
from tests.train.counting import CountingBatches

ALGORITHMS = ("adamw", "adafactor", "lion", "muon")
WIDE = DecoderConfig(vocab_size=64, layers=2, width=128, heads=2, mlp_size=256, max_length=32)


@pytest.mark.parametrize(
    ("schedule", "end"), [("cosine", 0.1), ("wsd", 0.1), ("constant", 1.0), ("rsqrt", 0.3162)]
)
def test_warm_up_peak_and_end(schedule, end):
    rate = optimizer.learning_rate(
        Optimizer(learning_rate=2.0, warmup_steps=10, schedule=schedule), steps=100
    )
    np.testing.assert_allclose([rate(0), rate(4), rate(9)], [0.2, 1.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(rate(10), 2.0, rtol=1e-6)
    np.testing.assert_allclose(rate(100), 2.0 * end, rtol=1e-3)


def test_wsd_is_flat_until_its_decay():
    rate = optimizer.learning_rate(
        Optimizer(learning_rate=1.0, warmup_steps=10, schedule="wsd", decay_fraction=0.2), steps=100
    )
    np.testing.assert_allclose([rate(50), rate(80), rate(90)], [1.0, 1.0, 0.55], rtol=1e-5)


def test_matrices_decay_and_nothing_else():
    config = DecoderConfig(vocab_size=128, layers=2, width=32, heads=4)
    shapes, axes = abstract_params(config)
    tx = optimizer.make(
        Optimizer(warmup_steps=1, schedule="constant", learning_rate=0.1), steps=9, axes=axes
    )
    params = jax.tree.map(lambda s: jnp.ones(s.shape), shapes)
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    moved = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, leaf in jax.tree_util.tree_leaves_with_path(updates)
        if jnp.any(leaf != 0)
    }
    matrices = {"attention/q", "attention/k", "attention/v", "attention/out", "mlp/up", "mlp/down"}
    assert moved == {"embedding", "position"} | {f"blocks/{name}" for name in matrices}
    np.testing.assert_allclose(updates["embedding"], -0.1 * 0.1, rtol=1e-5)


@pytest.mark.parametrize("size", [0.0, 0.3, 1.0, 50.0])
def test_gradients_are_clipped_as_by_optax(size):
    gradients = {"a": jnp.linspace(-1, 1, 12).reshape(3, 4) * size, "b": jnp.full(5, size)}
    ours, theirs = (
        tx.update(gradients, tx.init(gradients))[0]
        for tx in (optimizer.clip_by_norm(1.5), optax.clip_by_global_norm(1.5))
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, theirs)


@pytest.mark.usefixtures("unchecked_types")
def test_unknown_schedules_and_long_warm_ups_are_refused():
    with pytest.raises(InputError, match="'linear'; expected one of 'cosine'"):
        optimizer.learning_rate(Optimizer(schedule="linear", warmup_steps=1), steps=10)
    with pytest.raises(InputError, match="warmup_steps is 175; expected fewer than steps"):
        optimizer.learning_rate(Optimizer(), steps=100)


def transformation(algorithm, **options):
    recipe = Optimizer(algorithm=algorithm, warmup_steps=1, learning_rate=1e-3, **options)
    return optimizer.make(recipe, steps=9, axes=abstract_params(WIDE)[1])


def after_two_steps(tx, mesh, **compute):
    now = state.init_sharded(WIDE, tx, mesh, seed=0, dtype=compute.get("param_dtype", "float32"))
    take = jit_step(WIDE, tx, Compute(**compute), mesh)
    for n in range(2):
        batch = jax.device_put(CountingBatches().batch(n), sharding.batch_sharding(mesh))
        now, metrics = take(now, batch)
    return now, metrics


def largest_difference(a, b):
    differences = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).max(), a, b)
    return max(jax.tree.leaves(differences))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_sharded_equals_one_device_and_comes_back_from_disk(algorithm, tmp_path):
    tx = transformation(algorithm)
    one_device = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    mesh = sharding.make_mesh(sharding.MeshShape(fsdp=4, tensor=2))
    (alone, _), (spread, _) = after_two_steps(tx, one_device), after_two_steps(tx, mesh)
    start = state.init_sharded(WIDE, tx, one_device, seed=0).params
    assert largest_difference(start, alone.params) > 5e-4
    # Signs turn on rounding where a gradient is nearly 0, as a key's bias's is: softmax cancels it.
    apart = jax.tree.map(lambda a, b: np.abs(a - np.asarray(b)), alone.params, spread.params)
    del apart["blocks"]["attention"]["k_bias"]
    assert all(np.quantile(leaf, 0.99) < 2e-5 for leaf in jax.tree.leaves(apart))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, spread.params, spread._replace(params=None), Card(model={}))
    checkpoints.finish()
    target = state.abstract_state(WIDE, tx, mesh)
    params, rest, step = checkpoints.restore(target.params, target._replace(params=None))
    assert step == 2
    checkpoints.close()
    assert largest_difference(rest._replace(params=params), spread) == 0
    back = jax.tree.leaves(rest._replace(params=params))
    for leaf, before in zip(back, jax.tree.leaves(spread), strict=True):
        assert leaf.sharding.is_equivalent_to(before.sharding, leaf.ndim)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_large_part_of_the_state_is_replicated(algorithm):
    mesh = sharding.make_mesh(sharding.MeshShape(fsdp=4, tensor=2))
    for leaf in jax.tree.leaves(state.abstract_state(WIDE, transformation(algorithm), mesh)):
        parts = leaf.size / np.prod(leaf.sharding.shard_shape(leaf.shape))
        assert parts >= 4 or leaf.size <= WIDE.layers * WIDE.mlp_size, leaf


def test_adafactor_keeps_rows_and_columns():
    shapes = abstract_params(WIDE)[0]
    count = functools.partial(jax.tree.reduce, lambda n, leaf: n + leaf.size, initializer=0)
    slots = jax.eval_shape(transformation("adafactor").init, shapes)
    assert count(slots) < 0.05 * count(shapes)


@pytest.mark.parametrize("algorithm", ["adamw", "lion", "muon"])
def test_mu_dtype_is_that_of_the_first_moments(algorithm):
    shapes = abstract_params(WIDE)[0]
    slots = jax.eval_shape(transformation(algorithm, mu_dtype="bfloat16").init, shapes)
    halves = [leaf for leaf in jax.tree.leaves(slots) if leaf.dtype == jnp.bfloat16]
    assert sum(leaf.size for leaf in halves) == sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_param_dtype_is_that_of_the_weights_and_moments_stay_float32():
    one_device = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    rough, metrics = after_two_steps(transformation("adamw"), one_device, param_dtype="bfloat16")
    _, expected = after_two_steps(transformation("adamw"), one_device)
    assert {leaf.dtype for leaf in jax.tree.leaves(rough.params)} == {jnp.dtype(jnp.bfloat16)}
    assert jnp.bfloat16 not in {leaf.dtype for leaf in jax.tree.leaves(rough.optimizer)}
    assert metrics["loss"] == pytest.approx(float(expected["loss"]), rel=0.01)


def test_muon_steps_are_orthogonal():
    tx = transformation("muon", schedule="constant", weight_decay=0.0, clip_norm=0.0)
    params = jax.jit(lambda: state.init_state(WIDE, tx, jax.random.key(0)).params)()
    grads = jax.tree.map(lambda p: jax.random.normal(jax.random.key(1), p.shape), params)
    updates, _ = tx.update(grads, tx.init(params), params)
    for name, shape in {"q": (128, 128), "out": (128, 128)}.items():
        step = updates["blocks"]["attention"][name][0].reshape(shape)
        values = jnp.linalg.svd(step, compute_uv=False)
        assert values.max() < 2.5 * jnp.median(values)  # Newton-Schulz leaves them near, not at, 1


@pytest.mark.usefixtures("unchecked_types")
def test_an_unknown_algorithm_is_refused():
    with pytest.raises(
        InputError, match="algorithm is 'sgd'; expected one of 'adamw', 'adafactor'"
    ):
        transformation("sgd")
