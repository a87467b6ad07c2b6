"""The policy gradient's loss against NumPy, and against the plain weighted cross-entropy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax.train.loss import cross_entropy_sum
from codex_jax.train.policy_loss import PolicySums, policy_sums

V, D, H, B, T = 11, 8, 5, 4, 6


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, V, (B, T)).astype(np.int32)
    is_sampled = np.broadcast_to(np.arange(T) >= 2, (B, T)).astype(np.float32)
    advantages = np.array([1, -0.5, 0, -0.5], np.float32)[:, None] * is_sampled
    return targets, advantages, is_sampled


@pytest.fixture
def weights():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(B, T, H)).astype(np.float32)
    first = rng.normal(size=(H, D)).astype(np.float32) / 2
    table = np.zeros((16, D), np.float32)  # rows 11..15 are padding
    table[:V] = rng.normal(size=(V, D)) / 2
    return inputs, first, table


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def logprobs_in_numpy(weights, targets):
    inputs, first, table = (x.astype(np.float64) for x in weights)
    logits = np.tanh(inputs @ first) @ table[:V].T
    return np.take_along_axis(log_softmax(logits), targets[..., None], -1)[..., 0]


def policy_gradient_in_numpy(weights, targets, advantages):
    """REINFORCE by hand: −Σ A ∇ log p, for tanh(x W1) W2ᵀ."""
    inputs, first, table = (x.astype(np.float64) for x in weights)
    hidden = np.tanh(inputs @ first)
    softmax = np.exp(log_softmax(hidden @ table[:V].T))
    d_logits = (softmax - np.eye(V)[targets]) * advantages[..., None]
    d_table = np.zeros_like(table)
    d_table[:V] = np.einsum("btv,btd->vd", d_logits, hidden)
    d_hidden = np.einsum("btv,vd->btd", d_logits, table[:V])
    return np.einsum("bth,btd->hd", inputs, d_hidden * (1 - hidden**2)), d_table


def gradients(weights, columns, **options):
    inputs, first, table = map(jnp.asarray, weights)
    columns = list(map(jnp.asarray, columns))

    def loss(first, table):
        sums = policy_sums(jnp.tanh(inputs @ first), table, *columns, V, **options)
        return sums[0], PolicySums(*sums)

    grad = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    with jax.default_matmul_precision("highest"):
        (_, sums), grads = grad(first, table)
    return sums, grads


@pytest.mark.parametrize("chunks", [1, 3])
def test_a_two_layer_models_gradients_equal_numpys(samples, weights, chunks):
    targets, advantages, is_sampled = samples
    old = logprobs_in_numpy(weights, targets).astype(np.float32)
    sums, grads = gradients(weights, (targets, advantages, is_sampled, old), chunks=chunks)
    expected = policy_gradient_in_numpy(weights, targets, advantages)
    for actual, gradient in zip(grads, expected, strict=True):
        np.testing.assert_allclose(actual, gradient, atol=1e-6)
    np.testing.assert_allclose(sums.loss, -(advantages * old).sum(), rtol=1e-5)
    assert float(sums.ratio) == pytest.approx(is_sampled.sum(), abs=1e-4)  # each is 1
    assert float(sums.tokens) == is_sampled.sum()


def test_the_loss_is_the_cross_entropy_with_signed_weights(samples, weights):
    targets, advantages, is_sampled = map(jnp.asarray, samples)
    inputs, first, table = map(jnp.asarray, weights)
    hidden = jnp.tanh(inputs @ first)
    expected = cross_entropy_sum(hidden, table, targets, advantages, V)
    sums = policy_sums(hidden, table, targets, advantages, is_sampled, 0 * advantages, V)
    np.testing.assert_allclose(sums[0], expected, rtol=1e-6)


def test_no_advantages_give_no_gradient(samples, weights):
    targets, advantages, is_sampled = samples
    _, grads = gradients(weights, (targets, 0 * advantages, is_sampled, 0 * advantages))
    assert all(not np.any(gradient) for gradient in grads)


def test_entropy_of_uniform_logits_is_log_v(samples, weights):
    _, advantages, is_sampled = samples
    inputs, first, table = weights
    sums, _ = gradients((inputs, first, 0 * table), (*samples, 0 * advantages))
    assert float(sums.entropy) == pytest.approx(is_sampled.sum() * np.log(V), rel=1e-5)


@pytest.mark.parametrize("shift", [-0.5, 0.0, 0.1, 0.5])
def test_clipped_tokens_have_ppos_gradient(samples, weights, shift):
    targets, advantages, is_sampled = samples
    exact = logprobs_in_numpy(weights, targets)
    old = (exact - shift).astype(np.float32)
    sums, grads = gradients(weights, (targets, advantages, is_sampled, old), clip=(0.2, 0.28))
    ratio = np.exp(shift)
    active = np.where(advantages > 0, ratio <= 1.28, ratio >= 0.8)
    expected = policy_gradient_in_numpy(weights, targets, advantages * ratio * active)
    for actual, gradient in zip(grads, expected, strict=True):
        np.testing.assert_allclose(actual, gradient, atol=3e-6)
    objective = np.minimum(ratio * advantages, np.clip(ratio, 0.8, 1.28) * advantages)
    np.testing.assert_allclose(sums.loss, -objective.sum(), atol=1e-5)
    assert float(sums.clipped) == (~active & (advantages != 0)).sum()
