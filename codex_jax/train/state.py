"""TrainState, initialized sharded."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codex_jax import model, sharding
from codex_jax.train.lora import Lora, init_trained, trained_params


class TrainState(NamedTuple):
    """Values that training carries from step to step, and that a checkpoint holds."""

    step: Any  # int32 scalar: steps taken
    params: Any
    optimizer: Any  # optax's state


def init_state(
    config: model.DecoderConfig,
    tx: optax.GradientTransformation,
    key,
    *,
    dtype=jnp.float32,
    lora: Lora = Lora(),
) -> TrainState:
    """State at step 0, with weights in `dtype`; the optimizer always sees float32 parameters.

    LoRA's small tree is in float32, too.
    """
    params = init_trained(config, lora, key)
    stored = params if lora.lora_rank else jax.tree.map(lambda p: p.astype(dtype), params)
    return TrainState(jnp.zeros((), jnp.int32), stored, tx.init(params))


def shardings(
    config: model.DecoderConfig,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    *,
    lora: Lora = Lora(),
) -> TrainState:
    """NamedShardings of a TrainState; optimizer state is sharded as its parameter is.

    The parameter is identified by its path, with which the path of its optimizer state ends:
    optimizers nest their state freely.
    """
    shapes, axes = trained_params(config, lora)
    params = sharding.shardings(shapes, axes, mesh)
    replicated = NamedSharding(mesh, PartitionSpec())
    paths = jax.tree_util.tree_leaves_with_path(shapes)
    by_path = {
        path: (shape, param_sharding)
        for (path, shape), param_sharding in zip(paths, jax.tree.leaves(params), strict=True)
    }

    def sharding_of(path, leaf):
        suffixes = (path[n:] for n in range(len(path)))
        matches = (by_path[suffix] for suffix in suffixes if suffix in by_path)
        return next((_sharding_like(leaf, *match) for match in matches), replicated)

    moments = jax.tree_util.tree_map_with_path(sharding_of, jax.eval_shape(tx.init, shapes))
    return TrainState(replicated, params, moments)


def _sharding_like(leaf: Any, param: Any, param_sharding: NamedSharding) -> NamedSharding:
    """Sharding of an array of a parameter's shape, or of that shape less one axis."""
    mesh, spec = param_sharding.mesh, param_sharding.spec
    axes = (*spec, *(None for _ in param.shape[len(spec) :]))
    if leaf.shape == param.shape:
        return param_sharding
    for axis in range(len(axes)):
        if leaf.shape == param.shape[:axis] + param.shape[axis + 1 :]:
            return NamedSharding(mesh, PartitionSpec(*axes[:axis], *axes[axis + 1 :]))
    return NamedSharding(mesh, PartitionSpec())


def init_sharded(
    config: model.DecoderConfig,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    *,
    seed: int,
    dtype=jnp.float32,
    lora: Lora = Lora(),
) -> TrainState:
    """State at step 0, of which each device computes its own part."""
    init = functools.partial(init_state, config, tx, dtype=dtype, lora=lora)
    placement = shardings(config, tx, mesh, lora=lora)
    return jax.jit(init, out_shardings=placement)(jax.random.key(seed))


def abstract_params(config: model.DecoderConfig, mesh: Mesh, *, dtype=jnp.float32) -> model.Params:
    """All weights as ShapeDtypeStructs with shardings."""
    shapes, axes = model.abstract_params(config)
    return jax.tree.map(
        lambda shape, leaf_sharding: jax.ShapeDtypeStruct(
            shape.shape, dtype, sharding=leaf_sharding
        ),
        shapes,
        sharding.shardings(shapes, axes, mesh),
    )


def abstract_state(
    config: model.DecoderConfig,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    *,
    dtype=jnp.float32,
    lora: Lora = Lora(),
) -> TrainState:
    """The state as ShapeDtypeStructs with shardings, the target of a restore."""
    init = functools.partial(init_state, config, tx, dtype=dtype, lora=lora)
    return jax.tree.map(
        lambda shape, leaf_sharding: jax.ShapeDtypeStruct(
            shape.shape, shape.dtype, sharding=leaf_sharding
        ),
        jax.eval_shape(init, jax.random.key(0)),
        shardings(config, tx, mesh, lora=lora),
    )
