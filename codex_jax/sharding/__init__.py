"""Sharding: a mesh from a shape, logical axes to mesh axes, and the sharding report."""

from codex_jax.sharding.chips import chip_for
from codex_jax.sharding.logical_axes import (
    LOGICAL_TO_MESH,
    ShardingRow,
    batch_sharding,
    check_divides,
    data_parallel,
    report,
    shardings,
    spec,
)
from codex_jax.sharding.mesh import AXES, MeshShape, arrange_devices, make_mesh

__all__ = [
    "AXES",
    "LOGICAL_TO_MESH",
    "MeshShape",
    "ShardingRow",
    "arrange_devices",
    "batch_sharding",
    "check_divides",
    "chip_for",
    "data_parallel",
    "make_mesh",
    "report",
    "shardings",
    "spec",
]
