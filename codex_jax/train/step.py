"""The loss and one step, as pure functions of state and batch."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float

from codex_jax import model
from codex_jax.records import Batch
from codex_jax.train.attention_choice import Attention, plain
from codex_jax.train.loss import cross_entropy_sum
from codex_jax.train.remat import wrap as rematerialise
from codex_jax.train.state import TrainState


def loss_sum(
    config: model.DecoderConfig,
    params: Any,
    batch: Batch,
    *,
    dtype=jnp.float32,
    chunks: int = 1,
    z_loss: float = 0.0,
    remat: str = "none",
    attention: Attention = plain,
    mesh: Mesh | None = None,
) -> Float[Array, ""]:
    """Σ of weighted token losses over the batch, in nats; divide by Σ of weights.

    Args:
      remat: one of remat.PRESETS: which of a block's values are stored, which computed again.
      attention: makes the blocks' `attend` for a batch, whose columns it may deal out anew.
      mesh: over which batch and parameters lie; None on one device.
    """
    batch, attend = attention(batch)
    hidden, _ = model.forward(
        config,
        params,
        batch.tokens,
        batch.positions,
        attend,
        dtype=dtype,
        wrap_block=rematerialise(remat),
    )
    table = params["embedding"] if config.tied else params["unembedding"].T
    targets, weights = batch.targets, batch.loss_weights
    options = (config.vocab_size, chunks, z_loss, mesh)
    return cross_entropy_sum(hidden, table, targets, weights, *options)


def gradients(loss, params: Any, batch: Batch, *, microbatches: int = 1):
    """(Σ loss, Σ weight, Σ gradient), the batch taken in `microbatches` turns.

    Sums, not means: rows carry unequal numbers of real tokens, so a mean of means would weigh
    tokens by the company they keep.
    """
    grad = jax.value_and_grad(loss)
    if microbatches == 1:
        total, grads = grad(params, batch)
        return total, batch.loss_weights.sum(), grads

    def turn(carry, part):
        total, grads = grad(params, part)
        return jax.tree.map(jnp.add, carry, (total, part.loss_weights.sum(), grads)), None

    # Strided parts: every microbatch spans all devices, whatever the rows' placement.
    parts = jax.tree.map(lambda x: x.reshape(-1, microbatches, *x.shape[1:]).swapaxes(0, 1), batch)
    zero = jnp.zeros((), jnp.float32)
    start = (zero, zero, jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.float32), params))
    return jax.lax.scan(turn, start, parts)[0]


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    config: model.DecoderConfig,
    tx: optax.GradientTransformation,
    microbatches: int = 1,
    **loss_options,
) -> tuple[TrainState, dict[str, Array]]:
    """One step, normalised once by the global weight of real tokens."""

    def loss(params, batch):
        return loss_sum(config, params, batch, **loss_options)

    total, weight, grads = gradients(loss, state.params, batch, microbatches=microbatches)
    weight = jnp.maximum(weight, 1.0)
    grads = jax.tree.map(lambda g: g.astype(jnp.float32) / weight, grads)
    exact = jax.tree.map(lambda p: p.astype(jnp.float32), state.params)
    updates, optimizer = tx.update(grads, state.optimizer, exact)
    params = optax.apply_updates(exact, updates)
    params = jax.tree.map(lambda new, old: new.astype(old.dtype), params, state.params)
    metrics = {"loss": total / weight, "grad_norm": optax.tree.norm(grads), "tokens": weight}
    return TrainState(state.step + 1, params, optimizer), metrics
