"""Where arrays live: a mesh from a shape, logical axes to mesh axes, and a report that can fail.

replica   copies of the model, across slices over DCN        batch
fsdp      batch and parameters split alike (ZeRO-3)          batch, embed
tensor    heads, MLP and vocabulary split (Megatron)         heads, kv_heads, mlp, vocab
context   sequence split, for long contexts                  sequence
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from codex_jax import InputError

AXES = ("replica", "fsdp", "tensor", "context")

# The one table from the model's words to the mesh's. Axes not named here stay whole.
LOGICAL_TO_MESH: dict[str, tuple[str, ...]] = {
    "batch": ("replica", "fsdp"),
    "sequence": ("context",),
    "embed": ("fsdp",),
    "vocab": ("tensor",),
    "heads": ("tensor",),
    "kv_heads": ("tensor",),
    "mlp": ("tensor",),
}
WHOLE = ("layers", "head", "norm", "position")

_LARGE = 8 << 20  # bytes above which a parameter must not stand whole on every fsdp device


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshShape:
    """Devices along each mesh axis.

    Args:
      replica: Copies of the model (data parallelism across slices).
      fsdp: Devices that split batch and parameters; -1 takes all that the others leave.
      tensor: Devices that split heads, MLP and vocabulary.
      context: Devices that split the sequence.
    """

    replica: int = 1
    fsdp: int = -1
    tensor: int = 1
    context: int = 1

    def resolve(self, devices: int) -> tuple[int, int, int, int]:
        """The four sizes on this many devices.

        Raises:
          InputError: the sizes don't multiply to the number of devices.
        """
        sizes = {axis: getattr(self, axis) for axis in AXES}
        free = [axis for axis, size in sizes.items() if size == -1]
        if len(free) > 1 or any(size < 1 for axis, size in sizes.items() if axis not in free):
            raise InputError(f"{self}: sizes must be 1 or more, and -1 at most once")
        known = math.prod(size for size in sizes.values() if size != -1)
        if free and devices % known == 0:
            sizes[free[0]] = devices // known
        if math.prod(sizes.values()) != devices:
            raise InputError(
                f"mesh {sizes} does not fit {devices} devices; "
                f"turn MeshShape so that the product is {devices} (fsdp=-1 takes what is left)"
            )
        return tuple(sizes.values())


def make_mesh(shape: MeshShape, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The mesh over `devices` (all, unless given), axes typed Auto so that jit propagates.

    Raises:
      InputError: sizes that don't fit the devices, or slices that replica doesn't span.
    """
    devices = jax.devices() if devices is None else list(devices)
    placed = arrange(shape.resolve(len(devices)), devices)
    return Mesh(placed, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def arrange(sizes: Sequence[int], devices: Sequence[Any]) -> np.ndarray:
    """Devices as an array of these sizes, neighbours close; slices lie along replica, the first.

    Between slices there is only the data centre's network, fit for gradients once a step.

    Raises:
      InputError: replica is not a multiple of the number of slices.
    """
    slices = len({getattr(device, "slice_index", None) or 0 for device in devices})
    if sizes[0] % slices:
        raise InputError(
            f"the devices lie in {slices} slices, MeshShape.replica is {sizes[0]}; "
            f"turn it to a multiple of {slices}, for only replicas can span slices"
        )
    inner = (sizes[0] // slices, *sizes[1:])
    split = {"allow_split_physical_axes": True}
    if slices == 1:
        return mesh_utils.create_device_mesh(inner, devices, **split)
    outer = (slices, *(1 for _ in sizes[1:]))
    return mesh_utils.create_hybrid_device_mesh(inner, outer, devices, **split)


def spec(axes: Sequence[str | None]) -> PartitionSpec:
    """Logical axes as a PartitionSpec.

    Raises:
      ValueError: a name missing from the table, or two dimensions on one mesh axis.
    """
    entries: list[tuple[str, ...] | None] = []
    used: set[str] = set()
    for axis in axes:
        if axis is not None and axis not in LOGICAL_TO_MESH and axis not in WHOLE:
            raise ValueError(f"logical axis {axis!r} of {tuple(axes)} is not in the sharding table")
        mesh_axes = LOGICAL_TO_MESH.get(axis, ())
        if used & set(mesh_axes):
            raise ValueError(f"logical axes {tuple(axes)} use mesh axis {mesh_axes} twice")
        used |= set(mesh_axes)
        entries.append(mesh_axes or None)
    return PartitionSpec(*entries)


def shardings(shapes: Any, axes: Any, mesh: Mesh) -> Any:
    """A tree of NamedSharding for a tree of shapes and a like tree of logical axes.

    Raises:
      InputError: a dimension that its mesh axes don't divide.
    """

    def one(path, shape, logical):
        check_divides(jax.tree_util.keystr(path, simple=True, separator="/"), shape, logical, mesh)
        return NamedSharding(mesh, spec(logical))

    return jax.tree_util.tree_map_with_path(one, shapes, axes)


def check_divides(name: str, shape: Any, logical: Sequence[str], mesh: Mesh) -> None:
    """Raises InputError where a dimension doesn't divide by the mesh axes it lies on."""
    for size, axis in zip(shape.shape, logical, strict=True):
        mesh_axes = LOGICAL_TO_MESH.get(axis, ())
        parts = math.prod(mesh.shape[a] for a in mesh_axes)
        if size % parts:
            raise InputError(
                f"{name}: dimension {axis!r} is {size}, which {'×'.join(mesh_axes)} = {parts} "
                f"does not divide; turn MeshShape.{mesh_axes[-1]} or the model's {axis}"
            )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Of a (B, T) array: rows over the data axes, columns over context."""
    return NamedSharding(mesh, spec(("batch", "sequence")))


def data_parallel(mesh: Mesh) -> int:
    """How many parts the batch is cut into."""
    return math.prod(mesh.shape[axis] for axis in LOGICAL_TO_MESH["batch"])


@dataclasses.dataclass(frozen=True)
class ShardingRow:
    """One parameter's line of the report."""

    name: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    spec: str
    bytes_per_device: int


def report(shapes: Any, axes: Any, mesh: Mesh) -> list[ShardingRow]:
    """Every parameter's placement.

    Raises:
      InputError: a dimension that doesn't divide, or a parameter above 8 MiB that stands whole on
        every device of a mesh with more than one fsdp or tensor device.
    """
    placed = shardings(shapes, axes, mesh)
    leaves = zip(
        jax.tree_util.tree_leaves_with_path(shapes),
        jax.tree.leaves(axes, is_leaf=lambda x: isinstance(x, tuple)),
        jax.tree.leaves(placed),
        strict=True,
    )
    return [_row(path, shape, logical, where, mesh) for (path, shape), logical, where in leaves]


def _row(path, shape, logical, where, mesh: Mesh) -> ShardingRow:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    local = where.shard_shape(shape.shape)
    size = math.prod(local) * np.dtype(shape.dtype).itemsize
    whole = local == tuple(shape.shape)
    if whole and size > _LARGE and mesh.shape["fsdp"] * mesh.shape["tensor"] > 1:
        raise InputError(
            f"{name} {shape.shape} of {size >> 20} MiB stands whole on every device; "
            "give one of its axes a row in the sharding table"
        )
    return ShardingRow(name, tuple(shape.shape), tuple(logical), str(where.spec), size)
