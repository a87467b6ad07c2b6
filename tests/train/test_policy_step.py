"""A step of policy gradient: every mesh equals one device, parts equal the batch; no signal."""

import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import model, sharding
from codex_jax.model import DecoderConfig
from codex_jax.rl.advantages import leave_one_out
from codex_jax.train import optimizer, state
from codex_jax.train.attention_choice import unsharded_attention
from codex_jax.train.compute import Compute
from codex_jax.train.policy_loss import PolicyBatch, policy_sums
from codex_jax.train.policy_step import jit_policy_step
from codex_jax.train.step import final_states

CONFIG = DecoderConfig(vocab_size=32, layers=2, width=16, heads=2, max_length=16)
B, T, PROMPT = 8, 16, 5


def make_batch(rewards=(1, 0, 0, 1, 1, 1, 0, 1)):
    """Two groups of four samples, of unequal lengths."""
    rng = np.random.default_rng(0)
    text = rng.integers(0, CONFIG.vocab_size, (B, T + 1)).astype(np.int32)
    column = np.arange(T)
    lengths = rng.integers(PROMPT + 2, T, B)
    is_sampled = (column >= PROMPT - 1) & (column < lengths[:, None])
    advantages = np.concatenate([leave_one_out(rewards[:4]), leave_one_out(rewards[4:])])
    is_real = (column <= lengths[:, None]).astype(np.int32)
    positions = np.broadcast_to(column, (B, T)).astype(np.int32)
    weights = (advantages[:, None] * is_sampled).astype(np.float32)
    sampled = is_sampled.astype(np.float32)
    return PolicyBatch(text[:, :-1], text[:, 1:], is_real, positions, weights, sampled, 0 * weights)


def take_step(mesh, batch, **compute):
    """((weights, the optimizer's moments), metrics of each step) after two steps."""
    # AdamW divides by |gradient| + eps: at 1e-8 rounding of a gradient near 0 moves a weight.
    recipe = optimizer.Optimizer(warmup_steps=1, learning_rate=1e-2, weight_decay=0.0, epsilon=1e-5)
    tx = optimizer.make(recipe, steps=10, axes=model.abstract_params(CONFIG)[1])
    policy = state.init_sharded(CONFIG, tx, mesh, seed=0)
    step = jit_policy_step(CONFIG, tx, Compute(**compute), mesh, count=float(B * T))
    metrics = []
    for _ in range(2):  # the rate of the first is 0
        rows = jax.device_put(batch, sharding.batch_sharding(mesh))
        policy, values = step(policy, rows)
        metrics.append(jax.tree.map(float, values))
    return jax.device_get((policy.params, policy.optimizer)), metrics


def single():
    return sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])


@functools.cache
def reference():
    return take_step(single(), make_batch())


def assert_equals_reference(arrays, metrics):
    """Equal metrics, weights and moments, the last to 1e-5 of an array's largest."""
    (params, moments), expected_metrics = reference()
    for values, expected in zip(metrics, expected_metrics, strict=True):
        assert values == pytest.approx(expected, rel=1e-4, abs=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), arrays[0], params)

    def assert_close(actual, expected):
        limit = 1e-5 * np.abs(expected).max() + 1e-12  # a key's bias has no gradient but rounding
        np.testing.assert_allclose(actual, expected, rtol=0, atol=limit)

    jax.tree.map(assert_close, arrays[1], moments)


@pytest.mark.parametrize(
    "shape",
    [
        {"fsdp": 8},
        {"fsdp": 2, "tensor": 2, "replica": 2},
        {"replica": 8, "fsdp": 1},
        {"fsdp": 4, "context": 2},
    ],
    ids=str,
)
def test_every_mesh_equals_one_device(shape):
    mesh = sharding.make_mesh(sharding.MeshShape(**shape))
    assert_equals_reference(*take_step(mesh, make_batch()))


@pytest.mark.parametrize("compute", [{"microbatches": 4}, {"loss_chunks": 4}], ids=str)
def test_memory_savers_change_nothing(compute):
    assert_equals_reference(*take_step(single(), make_batch(), **compute))


def test_equal_rewards_change_nothing():
    before = jax.device_get(state.init_sharded(CONFIG, _tx(), single(), seed=0).params)
    (params, _), metrics = take_step(single(), make_batch([1, 1, 1, 1, 0, 0, 0, 0]))
    jax.tree.map(np.testing.assert_array_equal, params, before)
    assert [values["grad_norm"] for values in metrics] == [0, 0]
    assert metrics[0]["entropy"] > 0  # what was sampled is still measured


def _tx():
    return optimizer.make(
        optimizer.Optimizer(warmup_steps=1), steps=10, axes=model.abstract_params(CONFIG)[1]
    )


def test_a_two_layer_decoders_gradients_equal_numpys():
    """NumPy's policy gradient, Σ A (softmax − one-hot) · ∂logits, from the logits' Jacobian."""
    params = jax.tree.map(lambda x: x.astype(jnp.float32), model.init(CONFIG, jax.random.key(1)))
    flat, unflatten = jax.flatten_util.ravel_pytree(params)
    batch = PolicyBatch(*map(jnp.asarray, make_batch()))

    def states(flat):
        return final_states(CONFIG, unflatten(flat), batch, attention=unsharded_attention)

    def loss(flat):
        hidden, table, _ = states(flat)
        return policy_sums(hidden, table, *batch[1:2], *batch[4:], CONFIG.vocab_size)[0] / (B * T)

    def logits(flat):
        hidden, table, _ = states(flat)
        return (hidden @ table.T)[..., : CONFIG.vocab_size]

    with jax.default_matmul_precision("highest"):
        actual = jax.grad(loss)(flat)
        value, pull_back = jax.vjp(logits, flat)
        shifted = np.asarray(value, np.float64)
        softmax = np.exp(shifted - shifted.max(-1, keepdims=True))
        softmax /= softmax.sum(-1, keepdims=True)
        one_hot = np.eye(CONFIG.vocab_size)[batch.targets]
        d_logits = (softmax - one_hot) * batch.advantages[..., None] / (B * T)
        expected = pull_back(jnp.asarray(d_logits, jnp.float32))[0]
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert np.abs(expected).max() > 1e-4
