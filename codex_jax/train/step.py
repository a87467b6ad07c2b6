"""The loss and one step, as pure functions of state and batch."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float

from codex_jax import model
from codex_jax.records import Batch
from codex_jax.train.attention_choice import Attention, unsharded_attention
from codex_jax.train.lora import attach
from codex_jax.train.loss import cross_entropy_sum
from codex_jax.train.remat import wrap as rematerialize
from codex_jax.train.stability import skipped_steps
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
    unroll: bool = False,
    attention: Attention = unsharded_attention,
    mesh: Mesh | None = None,
) -> Float[Array, ""]:
    """Σ of weighted token losses over the batch, in nats; divide by Σ of weights.

    Args:
      config: the decoder.
      params: in any floating dtype.
      batch: rows of all devices.
      dtype: of activations and matrix products.
      chunks: number of chunks of a device's tokens, for the logits.
      z_loss: weight of log²Z.
      remat: one of remat.PRESETS, the block's values that are stored or recomputed.
      unroll: compile the layers as straight-line code.
      attention: makes the blocks' `attend` for a batch, whose columns it may reorder.
      mesh: devices over which batch and parameters are sharded; None on one device.
    """
    hidden, table, batch = final_states(
        config,
        params,
        batch,
        dtype=dtype,
        remat=remat,
        unroll=unroll,
        attention=attention,
    )
    targets, weights = batch.targets, batch.loss_weights
    options = (config.vocab_size, chunks, z_loss, mesh)
    return cross_entropy_sum(hidden, table, targets, weights, *options)


def final_states(
    config: model.DecoderConfig,
    params: Any,
    batch: Any,
    *,
    dtype=jnp.float32,
    remat: str = "none",
    unroll: bool = False,
    attention: Attention = unsharded_attention,
) -> tuple[Float[Array, "B T D"], Float[Array, "V D"], Any]:
    """(states after the final norm, the unembedding, the batch in attention's order)."""
    batch, attend = attention(batch)
    hidden, _ = model.forward(
        config,
        params,
        batch.tokens,
        batch.positions,
        attend,
        dtype=dtype,
        wrap_block=rematerialize(remat),
        unroll=unroll,
    )
    return hidden, params["embedding"] if config.tied else params["unembedding"].T, batch


def gradients(loss, params: Any, batch: Batch, *, microbatches: int = 1):
    """(Σ loss, Σ weight, Σ gradient) of a batch, computed in `microbatches` parts."""

    def loss_and_weight(params, part):
        return loss(params, part), part.loss_weights.sum()

    return sum_gradients(loss_and_weight, params, batch, microbatches=microbatches)


def sum_gradients(loss, params: Any, batch: Any, *, microbatches: int = 1):
    """(Σ loss, Σ of what it returns besides, Σ gradient) of a batch, in `microbatches` parts.

    Sums, not means: parts have unequal numbers of real tokens, so a mean of means would weigh
    tokens of different parts differently.
    """
    grad = jax.value_and_grad(loss, has_aux=True)
    if microbatches == 1:
        (total, sums), grads = grad(params, batch)
        return total, sums, grads

    def accumulate(carry, part):
        (total, sums), grads = grad(params, part)
        return jax.tree.map(jnp.add, carry, (total, sums, grads)), None

    # Strided parts: every microbatch spans all devices.
    parts = jax.tree.map(lambda x: x.reshape(-1, microbatches, *x.shape[1:]).swapaxes(0, 1), batch)
    part = jax.tree.map(lambda x: x[0], parts)
    shapes = jax.eval_shape(loss, params, part)
    start = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.float32), (*shapes, params))
    return jax.lax.scan(accumulate, start, parts)[0]


def train_step(
    state: TrainState,
    batch: Batch,
    base: Any = None,
    *,
    config: model.DecoderConfig,
    tx: optax.GradientTransformation,
    microbatches: int = 1,
    lora_scale: float = 0.0,
    rate: optax.Schedule | None = None,
    **loss_options,
) -> tuple[TrainState, dict[str, Array]]:
    """Takes an optimizer step on the loss per real token of the global batch.

    The metrics have the learning rate where its schedule is an argument.
    With LoRA, `base` holds the weights, which stay, and the state's parameters are LoRA's.
    """

    def loss(params, batch):
        full = params if base is None else attach(base, params, lora_scale)
        return loss_sum(config, full, batch, **loss_options)

    total, weight, grads = gradients(loss, state.params, batch, microbatches=microbatches)
    weight = jnp.maximum(weight, 1.0)
    count = state.step - skipped_steps(state.optimizer)  # a skipped step leaves the schedule
    state, metrics = apply_gradients(state, grads, tx, total, weight)
    if rate:
        metrics["learning_rate"] = jnp.asarray(rate(count), jnp.float32)
    return state, metrics | {"tokens": weight}


def apply_gradients(
    state: TrainState,
    grads: Any,
    tx: optax.GradientTransformation,
    total: Float[Array, ""],
    count: Float[Array, ""] | float,
) -> tuple[TrainState, dict[str, Array]]:
    """Takes an optimizer step on sums of loss and gradients, both divided by `count`."""
    loss = total / count
    scale = 1 / count
    grads = jax.tree.map(lambda g: g.astype(jnp.float32) * scale, grads)
    params_f32 = jax.tree.map(lambda p: p.astype(jnp.float32), state.params)
    tx = optax.with_extra_args_support(tx)
    updates, optimizer = tx.update(grads, state.optimizer, params_f32, value=loss)
    params = optax.apply_updates(params_f32, updates)
    params = jax.tree.map(lambda new, old: new.astype(old.dtype), params, state.params)
    skipped = skipped_steps(optimizer) - skipped_steps(state.optimizer)
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads), "skipped": skipped}
    return TrainState(state.step + 1, params, optimizer), metrics
