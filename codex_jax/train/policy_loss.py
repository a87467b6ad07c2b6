"""The loss of a policy gradient: cross-entropy of sampled tokens, weighted by advantages.

The weights are signed, and the same fused function computes value and gradient, so that no logits
are stored. For several updates on a batch of samples the weight of a token is multiplied by its
ratio, and is 0 where the ratio is clipped (Schulman et al. 2017; asymmetric as in DAPO, 2025).
"""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from codex_jax.train.loss import chunk_logits, sum_terms

Clip = tuple[float, float]  # how far a ratio may go below 1, and above


class PolicyBatch(NamedTuple):
    """Rows of B samples with their prompts, T tokens, as numpy or JAX arrays."""

    tokens: Any  # int32 (B, T): input ids
    targets: Any  # int32 (B, T): ids of the next tokens
    segment_ids: Any  # int32 (B, T): 0 is padding
    positions: Any  # int32 (B, T)
    advantages: Any  # float32 (B, T): of the target; 0 where it isn't learned from
    is_sampled: Any  # float32 (B, T): 1 where the target was sampled, else 0
    logprobs: Any  # float32 (B, T): the sampler's, of the target, in nats


class PolicySums(NamedTuple):
    """Sums over the sampled tokens; the gradient is the loss's alone."""

    loss: Any
    entropy: Any  # nats
    clipped: Any  # tokens whose ratio is clipped
    ratio: Any  # exp |log p − the sampler's log p|
    tokens: Any


def _policy_terms(
    table: Float[Array, "V D"],
    hidden: Float[Array, "C D"],
    targets: Int[Array, "C"],
    advantages: Float[Array, "C"],
    is_sampled: Float[Array, "C"],
    old_logprobs: Float[Array, "C"],
    *,
    vocab_size: int,
    clip: Clip | None,
) -> tuple[Float[Array, "5"], Float[Array, "C V"]]:
    """(PolicySums, gradient of the logits) of a chunk."""
    logits, log_z = chunk_logits(table, vocab_size, hidden)
    logprobs = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0] - log_z
    softmax = jnp.exp(logits - log_z[:, None])
    entropy = log_z - jnp.sum(softmax * jnp.where(softmax > 0, logits, 0), axis=-1)
    change = jnp.where(is_sampled > 0, logprobs - old_logprobs, 0)
    clipped = jnp.zeros_like(change)
    weights, terms = advantages, advantages * logprobs
    if clip is not None:
        low, high = clip
        ratio = jnp.exp(change)
        is_clipped = jnp.where(advantages > 0, ratio > 1 + high, ratio < 1 - low)
        clipped = (is_clipped & (advantages != 0)).astype(jnp.float32)
        weights = advantages * jnp.where(is_clipped, 0, ratio)
        terms = advantages * jnp.where(is_clipped, jnp.clip(ratio, 1 - low, 1 + high), ratio)
    sums = [-terms, is_sampled * entropy, is_sampled * clipped]
    sums += [is_sampled * jnp.exp(jnp.abs(change)), is_sampled]
    one_hot = jnp.arange(table.shape[0]) == targets[:, None]
    return jnp.stack(sums).sum(1), (softmax - one_hot) * weights[:, None]


def policy_sums(
    hidden: Float[Array, "B T D"],
    table: Float[Array, "V D"],
    targets: Int[Array, "B T"],
    advantages: Float[Array, "B T"],
    is_sampled: Float[Array, "B T"],
    logprobs: Float[Array, "B T"],
    vocab_size: int,
    clip: Clip | None = None,
    chunks: int = 1,
    mesh: Mesh | None = None,
) -> Float[Array, "5"]:
    """PolicySums as an array, in f32; the loss is −Σ advantage · log p, or with `clip` PPO's.

    Args:
      hidden: States after the final norm.
      table: The unembedding; rows from vocab_size on are padding.
      targets: Ids of the next tokens.
      advantages: Weights of the tokens, signed.
      is_sampled: 1 where the target was sampled.
      logprobs: The sampler's log-probabilities of the targets.
      vocab_size: Number of ids.
      clip: Bounds of the ratio of probabilities; None is one update a batch, whose ratio is 1.
      chunks: Number of chunks of a device's tokens; logits of one chunk are in memory at a time.
      mesh: Devices over which the arrays are sharded; None on one device.
    """
    terms = functools.partial(_policy_terms, vocab_size=vocab_size, clip=clip)
    columns = (targets, advantages, is_sampled, logprobs)
    return sum_terms(hidden, table, columns, terms, chunks, mesh)
