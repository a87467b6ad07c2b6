"""Shardings of the engine's arrays: weights replicated or split over `tensor`, rows over data axes.

Weights are read every step, so they are not split over `fsdp` as in training: gathering them would
cost more than reading them. Replicas come first, `tensor` only where a model doesn't fit.

For devices that aren't attached the loop is compiled from shapes alone:

    mesh = make_mesh(MeshShape(tensor=8), config, shape.rows, devices)
    params = decode_param_shapes(config, shape, mesh)    as the loop takes them: layer by layer
    shardings = state_shardings(config, shape, mesh)     of state.init_state(config, shape)
    loop = decode.jit_decode(shardings)
    loop.lower(config, shape, params, state, stop_table, inputs)

with `stop_table` int16 (stop states, vocabulary) and `inputs` (state.LoopInputs) replicated.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codex_jax import InputError, model, sharding
from codex_jax.model import quantization
from codex_jax.sample.engine.state import EngineShape, State, init_state


def make_mesh(
    shape: sharding.MeshShape,
    config: model.DecoderConfig,
    rows: int,
    devices: Sequence[jax.Device] | None = None,
) -> Mesh:
    """The mesh over `devices` (all if None), checked against the arrays that it shards.

    Raises:
      InputError: rows or key/value heads that don't divide.
    """
    mesh = sharding.make_mesh(shape, devices)
    shards = sharding.data_parallel(mesh)
    if rows % shards:
        raise InputError(
            f"batch_size is {rows}; set it to a multiple of the {shards} data-parallel devices, or "
            "change MeshShape"
        )
    if config.kv_heads % mesh.shape["tensor"]:
        raise InputError(
            f"MeshShape.tensor is {mesh.shape['tensor']}; set it to a divisor of the model's "
            f"{config.kv_heads} kv_heads"
        )
    return mesh


def params_shapes(config: model.DecoderConfig, mesh: Mesh) -> Any:
    """The shapes of a checkpoint's parameters, with their shardings."""
    shapes, axes = model.abstract_params(config)

    def with_sharding(shape, logical_axes):
        replicated = tuple("norm" if axis == "embed" else axis for axis in logical_axes)
        return _with_sharding(shape, NamedSharding(mesh, sharding.spec(replicated)))

    return jax.tree.map(with_sharding, shapes, axes)


def to_decode_params(params: model.Params, shape: EngineShape) -> model.Params:
    """Parameters as a step reads them: unstacked layers, in int8 or the dtype of products.

    Norms are computed in f32, and stay in it.
    """
    is_int8 = shape.weights_dtype == "int8"

    def convert(path, leaf):
        name = path[-1].key
        if is_int8 and name in quantization.CONTRACTED_AXES:
            return quantization.quantize(leaf, quantization.CONTRACTED_AXES[name])
        dtype = shape.dtype if is_int8 else shape.weights_dtype
        return leaf if name in ("scale", "shift") else leaf.astype(dtype)

    params = {**params, "blocks": model.unstack_layers(params["blocks"])}
    return jax.tree_util.tree_map_with_path(convert, params)


def place_params(params: model.Params, shape: EngineShape, shapes: model.Params) -> model.Params:
    """`to_decode_params`, sharded as `shapes`; not copied if the devices' memory is the host's."""
    leaves = jax.tree.leaves(params)
    devices = set().union(*(leaf.devices() for leaf in leaves))
    same_dtype = all(leaf.dtype == np.dtype(shape.weights_dtype) for leaf in leaves)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
    if not same_dtype or len(devices) > 1 or devices.pop().platform != "cpu":
        convert = jax.jit(to_decode_params, static_argnums=1, out_shardings=shardings)
        return convert(params, shape)
    params = jax.tree.map(np.asarray, params)
    return jax.device_put({**params, "blocks": model.unstack_layers(params["blocks"])}, shardings)


def jit_to_decode_params(shape: EngineShape, shapes: model.Params) -> Any:
    """`to_decode_params`, compiled for results with the shardings of `shapes`."""
    return jax.jit(
        functools.partial(to_decode_params, shape=shape),
        out_shardings=jax.tree.map(lambda leaf: leaf.sharding, shapes),
    )


def decode_param_shapes(
    config: model.DecoderConfig, shape: EngineShape, mesh: Mesh
) -> model.Params:
    """The shapes of `to_decode_params`' result, with their shardings."""
    shapes = params_shapes(config, mesh)
    layers = [jax.tree.map(_layer_sharding, shapes["blocks"])] * config.layers
    shardings = {**jax.tree.map(lambda x: x.sharding, shapes), "blocks": layers}

    def add_sharding(path, sharding, leaf):
        if isinstance(leaf, quantization.Int8):
            contracted = np.atleast_1d(quantization.CONTRACTED_AXES[path[-1].key])
            spec = [axis for n, axis in enumerate(sharding.spec) if n not in contracted]
            scale = NamedSharding(mesh, PartitionSpec(*spec))
            return quantization.Int8(
                _with_sharding(leaf.values, sharding), _with_sharding(leaf.scale, scale)
            )
        return _with_sharding(leaf, sharding)

    decode_shapes = jax.eval_shape(lambda params: to_decode_params(params, shape), shapes)
    return jax.tree_util.tree_map_with_path(add_sharding, shardings, decode_shapes)


def with_shardings(shapes: Any, shardings: Any) -> Any:
    """A tree of shapes with a tree of shardings of the same structure."""
    return jax.tree.map(_with_sharding, shapes, shardings)


def _layer_sharding(x: jax.ShapeDtypeStruct) -> NamedSharding:
    """The sharding of one layer of a stack."""
    return NamedSharding(x.sharding.mesh, PartitionSpec(*x.sharding.spec[1:]))


def _with_sharding(x: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)


def state_shardings(config: model.DecoderConfig, shape: EngineShape, mesh: Mesh) -> State:
    """Shardings of the loop's state: caches by row and head, all else replicated."""
    state = jax.eval_shape(lambda: init_state(config, shape))
    replicated = NamedSharding(mesh, PartitionSpec())
    prefix = NamedSharding(mesh, sharding.spec((None, "kv_heads")))
    suffix = NamedSharding(mesh, sharding.spec(("batch", "kv_heads")))
    result = jax.tree.map(lambda _: replicated, state)
    return result._replace(
        prompts=result.prompts._replace(cache=jax.tree.map(lambda _: prefix, state.prompts.cache)),
        rows=result.rows._replace(cache=jax.tree.map(lambda _: suffix, state.rows.cache)),
    )
