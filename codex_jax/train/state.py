"""TrainState, born sharded."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codex_jax import model, sharding


class TrainState(NamedTuple):
    """All that training carries from step to step, and all that a checkpoint holds."""

    step: jax.Array  # int32 scalar: steps taken
    params: Any
    optimizer: Any  # optax's state


def fresh(config: model.DecoderConfig, tx: optax.GradientTransformation, key) -> TrainState:
    """Step 0."""
    params = model.init(config, key)
    return TrainState(jnp.zeros((), jnp.int32), params, tx.init(params))


def shardings(config: model.DecoderConfig, tx: optax.GradientTransformation, mesh: Mesh):
    """A TrainState of NamedSharding: optimizer moments lie as their parameters do."""
    shapes, axes = model.abstract(config)
    params = sharding.shardings(shapes, axes, mesh)
    whole = NamedSharding(mesh, PartitionSpec())
    moments = optax.tree.map_params(
        tx,
        lambda _, placed: placed,
        jax.eval_shape(tx.init, shapes),
        params,
        transform_non_params=lambda _: whole,
    )
    return TrainState(whole, params, moments)


def born(config: model.DecoderConfig, tx: optax.GradientTransformation, mesh: Mesh, *, seed: int):
    """The state at step 0, each device making its own part."""
    make = jax.jit(lambda key: fresh(config, tx, key), out_shardings=shardings(config, tx, mesh))
    return make(jax.random.key(seed))


def abstract(config: model.DecoderConfig, tx: optax.GradientTransformation, mesh: Mesh):
    """The state as ShapeDtypeStructs that carry shardings: what a checkpoint is restored onto."""
    shapes = jax.eval_shape(lambda key: fresh(config, tx, key), jax.random.key(0))
    return jax.tree.map(
        lambda shape, placed: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=placed),
        shapes,
        shardings(config, tx, mesh),
    )
