"""A step of policy gradient, as a pure function of state and batch."""

from typing import Any

import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array

from codex_jax.model import DecoderConfig
from codex_jax.train.compute import Compute, jit_update
from codex_jax.train.policy_loss import Clip, PolicyBatch, PolicySums, policy_sums
from codex_jax.train.state import TrainState
from codex_jax.train.step import apply_gradients, final_states, sum_gradients


def policy_step(
    state: TrainState,
    batch: PolicyBatch,
    *,
    config: DecoderConfig,
    tx: optax.GradientTransformation,
    count: float,
    clip: Clip | None = None,
    microbatches: int = 1,
    chunks: int = 1,
    mesh: Mesh | None = None,
    **options: Any,
) -> tuple[TrainState, dict[str, Array]]:
    """Takes an optimizer step on −Σ advantage · log p / count.

    Args:
      state: Donated by `jit_policy_step`.
      batch: Rows of all devices.
      config: The decoder.
      tx: The optimizer's chain.
      count: Divides the loss: a constant, since the weights' own sum is about 0.
      clip: Bounds of the ratio, for several updates on one batch; None for one.
      microbatches: Number of parts of the batch, computed in sequence.
      chunks: Number of chunks of a device's tokens, for the logits.
      mesh: Devices over which batch and parameters are sharded.
      options: Of `step.final_states`.

    Returns:
      The state, and means over sampled tokens: entropy (nats), clip_share, and ratio, by which
      the trainer's probabilities differ from the sampler's; with loss, grad_norm and tokens.
    """

    def loss(params: Any, part: PolicyBatch) -> tuple[Array, PolicySums]:
        hidden, table, part = final_states(config, params, part, **options)
        columns = (part.targets, part.advantages, part.is_sampled, part.logprobs)
        sums = policy_sums(hidden, table, *columns, config.vocab_size, clip, chunks, mesh)
        return sums[0], PolicySums(*sums)

    total, sums, grads = sum_gradients(loss, state.params, batch, microbatches=microbatches)
    state, metrics = apply_gradients(state, grads, tx, total, count)
    tokens = jnp.maximum(sums.tokens, 1.0)
    means = {"entropy": sums.entropy, "clip_share": sums.clipped, "ratio": sums.ratio}
    metrics |= {name: value / tokens for name, value in means.items()}
    return state, metrics | {"tokens": tokens}


def jit_policy_step(
    config: DecoderConfig,
    tx: optax.GradientTransformation,
    compute: Compute,
    mesh: Mesh,
    *,
    count: float,
    clip: Clip | None = None,
) -> Any:
    """Compiles policy_step; the state is donated, so that it is in memory once."""
    return jit_update(policy_step, config, tx, compute, mesh, count=count, clip=clip)
