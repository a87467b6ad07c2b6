"""The table from logical axes to mesh axes, and the sharding report, which can fail."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codex_jax import InputError

LOGICAL_TO_MESH: dict[str, tuple[str, ...]] = {
    "batch": ("replica", "fsdp"),
    "sequence": ("context",),
    "embed": ("fsdp",),
    "vocab": ("tensor",),
    "heads": ("tensor",),
    "kv_heads": ("tensor",),
    "mlp": ("tensor",),
}
REPLICATED = ("layers", "head", "norm", "position", "rank")  # logical axes that are never split

_LARGE = 8 << 20  # bytes above which a parameter must not be replicated on every fsdp device


def spec(axes: Sequence[str | None]) -> PartitionSpec:
    """Converts logical axes to a PartitionSpec.

    Raises:
      ValueError: a name missing from the table, or two dimensions on one mesh axis.
    """
    entries: list[tuple[str, ...] | None] = []
    used: set[str] = set()
    for axis in axes:
        if axis is not None and axis not in LOGICAL_TO_MESH and axis not in REPLICATED:
            raise ValueError(f"logical axis {axis!r} of {tuple(axes)} is not in the sharding table")
        mesh_axes = LOGICAL_TO_MESH.get(axis or "", ())
        if used & set(mesh_axes):
            raise ValueError(f"logical axes {tuple(axes)} use mesh axis {mesh_axes} twice")
        used |= set(mesh_axes)
        entries.append(mesh_axes or None)
    return PartitionSpec(*entries)


def shardings(shapes: Any, axes: Any, mesh: Mesh) -> Any:
    """NamedShardings of a tree of shapes, by a tree of logical axes of the same structure.

    Raises:
      InputError: a dimension that its mesh axes don't divide.
    """

    def sharding_of(path, shape, logical):
        check_divides(jax.tree_util.keystr(path, simple=True, separator="/"), shape, logical, mesh)
        return NamedSharding(mesh, spec(logical))

    return jax.tree_util.tree_map_with_path(sharding_of, shapes, axes)


def check_divides(name: str, shape: Any, logical: Sequence[str], mesh: Mesh) -> None:
    """Checks that mesh axes divide the dimensions that they split.

    Raises:
      InputError: the first dimension that isn't divided.
    """
    for size, axis in zip(shape.shape, logical, strict=True):
        mesh_axes = LOGICAL_TO_MESH.get(axis, ())
        parts = math.prod(mesh.shape[a] for a in mesh_axes)
        if size % parts:
            raise InputError(
                f"{name}: dimension {axis!r} is {size}, which {'×'.join(mesh_axes)} = {parts} "
                f"does not divide; set MeshShape.{mesh_axes[-1]} or the model's {axis}"
            )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Sharding of a (B, T) array: rows over the data axes, columns over context."""
    return NamedSharding(mesh, spec(("batch", "sequence")))


def data_parallel(mesh: Mesh) -> int:
    """Number of parts into which the batch is split."""
    return math.prod(mesh.shape[axis] for axis in LOGICAL_TO_MESH["batch"])


@dataclasses.dataclass(frozen=True)
class ShardingRow:
    """A parameter's line of the report."""

    name: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    spec: str
    bytes_per_device: int


def report(shapes: Any, axes: Any, mesh: Mesh) -> list[ShardingRow]:
    """Every parameter's sharding and bytes.

    Raises:
      InputError: a dimension that isn't divided, or a parameter above 8 MiB that is replicated on
        every device of a mesh with more than one fsdp or tensor device.
    """
    tree = shardings(shapes, axes, mesh)
    leaves = zip(
        jax.tree_util.tree_leaves_with_path(shapes),
        jax.tree.leaves(axes, is_leaf=lambda x: isinstance(x, tuple)),
        jax.tree.leaves(tree),
        strict=True,
    )
    return [_row(path, shape, logical, leaf, mesh) for (path, shape), logical, leaf in leaves]


def _row(path, shape, logical, sharding: NamedSharding, mesh: Mesh) -> ShardingRow:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    local = sharding.shard_shape(shape.shape)
    size = math.prod(local) * np.dtype(shape.dtype).itemsize
    replicated = local == tuple(shape.shape)
    if replicated and size > _LARGE and mesh.shape["fsdp"] * mesh.shape["tensor"] > 1:
        raise InputError(
            f"{name} {shape.shape} of {size >> 20} MiB is replicated on every device; "
            "give one of its axes a row in the sharding table"
        )
    return ShardingRow(name, tuple(shape.shape), tuple(logical), str(sharding.spec), size)
