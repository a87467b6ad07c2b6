"""Where a sampler's arrays lie: weights whole or split over `tensor`, rows over the data axes.

Weights are read every step, so they are not split over `fsdp` as in training: gathering them would
cost more than reading them. Replicas come first, `tensor` only where a model doesn't fit.

For devices that aren't here the loop is compiled from shapes alone:

    mesh = make_mesh(MeshShape(tensor=8), config, shape.rows, devices)
    params = held_shapes(config, shape, mesh)        as the loop takes them: layer by layer
    places = state_shardings(config, shape, mesh)    of what state.start(config, shape) makes
    loop = decode.jitted(places)
    loop.lower(config, shape, params, state, table, work)

with `table` int16 (stop states, vocabulary) and `work` (decode.Work) whole on every device.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codex_jax import InputError, model, sharding
from codex_jax.model import quantization
from codex_jax.sample.engine import state as states


def make_mesh(
    shape: sharding.MeshShape,
    config: model.DecoderConfig,
    rows: int,
    devices: Sequence[jax.Device] | None = None,
) -> Mesh:
    """The mesh over `devices` (all, unless given), checked against what will lie on it.

    Raises:
      InputError: rows or key/value heads that don't divide.
    """
    mesh = sharding.make_mesh(shape, devices)
    parts = sharding.data_parallel(mesh)
    if rows % parts:
        raise InputError(
            f"batch_size is {rows}, which {parts} data-parallel devices don't divide; turn it or "
            "MeshShape"
        )
    if config.kv_heads % mesh.shape["tensor"]:
        raise InputError(
            f"the model has {config.kv_heads} kv_heads, which MeshShape.tensor = "
            f"{mesh.shape['tensor']} doesn't divide; turn it"
        )
    return mesh


def params_shapes(config: model.DecoderConfig, mesh: Mesh) -> Any:
    """The parameters' shapes, each with its place on the mesh."""
    shapes, axes = model.abstract_params(config)

    def one(shape, logical):
        kept = tuple("norm" if axis == "embed" else axis for axis in logical)
        place = NamedSharding(mesh, sharding.spec(kept))
        return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=place)

    return jax.tree.map(one, shapes, axes)


def held(params: model.Params, shape: states.Shape) -> model.Params:
    """Parameters as a step reads them: layers apart, in int8 or the dtype they would be cast to.

    Norms are computed in f32, and keep it.
    """
    eight = shape.weights == "int8"

    def one(path, leaf):
        name = path[-1].key
        if eight and name in quantization.CONTRACTED_AXES:
            return quantization.quantize(leaf, quantization.CONTRACTED_AXES[name])
        dtype = shape.dtype if eight else shape.weights
        return leaf if name in ("scale", "shift") else leaf.astype(dtype)

    params = {**params, "blocks": model.unstack_layers(params["blocks"])}
    return jax.tree_util.tree_map_with_path(one, params)


def hold(params: model.Params, shape: states.Shape, wanted: model.Params) -> model.Params:
    """`held`, placed as `held_shapes` wants; not copied where the devices' memory is the host's."""
    leaves = jax.tree.leaves(params)
    devices = set().union(*(leaf.devices() for leaf in leaves))
    same = all(leaf.dtype == np.dtype(shape.weights) for leaf in leaves)
    places = jax.tree.map(lambda leaf: leaf.sharding, wanted)
    if not same or len(devices) > 1 or devices.pop().platform != "cpu":
        return jax.jit(held, static_argnums=1, out_shardings=places)(params, shape)
    params = jax.tree.map(np.asarray, params)
    return jax.device_put({**params, "blocks": model.unstack_layers(params["blocks"])}, places)


def held_shapes(config: model.DecoderConfig, shape: states.Shape, mesh: Mesh) -> model.Params:
    """What `held` makes of the parameters, each with its place on the mesh."""
    shapes = params_shapes(config, mesh)
    layers = [jax.tree.map(_layer_place, shapes["blocks"])] * config.layers
    places = {**jax.tree.map(lambda x: x.sharding, shapes), "blocks": layers}

    def one(path, place, leaf):
        if isinstance(leaf, quantization.Int8):
            over = np.atleast_1d(quantization.CONTRACTED_AXES[path[-1].key])
            spec = [axis for n, axis in enumerate(place.spec) if n not in over]
            scale = NamedSharding(mesh, PartitionSpec(*spec))
            return quantization.Int8(_put(leaf.values, place), _put(leaf.scale, scale))
        return _put(leaf, place)

    made = jax.eval_shape(lambda params: held(params, shape), shapes)
    return jax.tree_util.tree_map_with_path(one, places, made)


def placed(shapes: Any, places: Any) -> Any:
    """Shapes of arrays that will lie at these places."""
    return jax.tree.map(_put, shapes, places)


def _layer_place(x: jax.ShapeDtypeStruct) -> NamedSharding:
    """One of a stack's."""
    return NamedSharding(x.sharding.mesh, PartitionSpec(*x.sharding.spec[1:]))


def _put(x: jax.ShapeDtypeStruct, place: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)


def state_shardings(config: model.DecoderConfig, shape: states.Shape, mesh: Mesh) -> states.State:
    """The loop's state: caches by row and head, all else on every device."""
    state = jax.eval_shape(lambda: states.start(config, shape))
    whole = NamedSharding(mesh, PartitionSpec())
    prefix = NamedSharding(mesh, sharding.spec((None, "kv_heads")))
    suffix = NamedSharding(mesh, sharding.spec(("batch", "kv_heads")))
    placed = jax.tree.map(lambda _: whole, state)
    return placed._replace(
        prompts=placed.prompts._replace(cache=jax.tree.map(lambda _: prefix, state.prompts.cache)),
        rows=placed.rows._replace(cache=jax.tree.map(lambda _: suffix, state.rows.cache)),
    )
