"""TrainState, born sharded."""

import functools
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


def fresh(
    config: model.DecoderConfig, tx: optax.GradientTransformation, key, *, dtype=jnp.float32
) -> TrainState:
    """Step 0, with weights in `dtype`; the optimizer never sees but their f32 values."""
    params = model.init(config, key)
    kept = jax.tree.map(lambda p: p.astype(dtype), params)
    return TrainState(jnp.zeros((), jnp.int32), kept, tx.init(params))


def shardings(config: model.DecoderConfig, tx: optax.GradientTransformation, mesh: Mesh):
    """A TrainState of NamedSharding: what is kept for a parameter lies as it does.

    It is known by its path, that ends with the parameter's: optimizers nest their state freely.
    """
    shapes, axes = model.abstract(config)
    params = sharding.shardings(shapes, axes, mesh)
    whole = NamedSharding(mesh, PartitionSpec())
    paths = jax.tree_util.tree_leaves_with_path(shapes)
    found = {
        path: (shape, place)
        for (path, shape), place in zip(paths, jax.tree.leaves(params), strict=True)
    }

    def one(path, leaf):
        ends = (path[n:] for n in range(len(path)))
        return next((_beside(leaf, *found[end]) for end in ends if end in found), whole)

    moments = jax.tree_util.tree_map_with_path(one, jax.eval_shape(tx.init, shapes))
    return TrainState(whole, params, moments)


def _beside(leaf: Any, shape: Any, placed: NamedSharding) -> NamedSharding:
    """Where something of a parameter's shape lies, or of that shape with an axis summed away."""
    spec = (*placed.spec, *(None for _ in shape.shape[len(placed.spec) :]))
    if leaf.shape == shape.shape:
        return placed
    for axis in range(len(spec)):
        if leaf.shape == shape.shape[:axis] + shape.shape[axis + 1 :]:
            return NamedSharding(placed.mesh, PartitionSpec(*spec[:axis], *spec[axis + 1 :]))
    return NamedSharding(placed.mesh, PartitionSpec())


def born(
    config: model.DecoderConfig,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    *,
    seed: int,
    dtype=jnp.float32,
):
    """The state at step 0, each device making its own part."""
    make = functools.partial(fresh, config, tx, dtype=dtype)
    return jax.jit(make, out_shardings=shardings(config, tx, mesh))(jax.random.key(seed))


def abstract(
    config: model.DecoderConfig, tx: optax.GradientTransformation, mesh: Mesh, *, dtype=jnp.float32
):
    """The state as ShapeDtypeStructs that carry shardings: what a checkpoint is restored onto."""
    shapes = jax.eval_shape(functools.partial(fresh, config, tx, dtype=dtype), jax.random.key(0))
    return jax.tree.map(
        lambda shape, placed: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=placed),
        shapes,
        shardings(config, tx, mesh),
    )
