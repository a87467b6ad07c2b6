"""Device meshes with four axes, and the devices' arrangement on them.

replica   copies of the model, across slices over DCN
fsdp      batch and parameters split alike (ZeRO-3)
tensor    heads, MLP and vocabulary split (Megatron)
context   sequence split, for long contexts
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from codex_jax import InputError

AXES = ("replica", "fsdp", "tensor", "context")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshShape:
    """Devices along each mesh axis.

    Args:
      replica: Copies of the model (data parallelism across slices).
      fsdp: Devices that split batch and parameters; -1 takes all remaining devices.
      tensor: Devices that split heads, MLP and vocabulary.
      context: Devices that split the sequence.
    """

    replica: int = 1
    fsdp: int = -1
    tensor: int = 1
    context: int = 1

    def resolve(self, devices: int) -> tuple[int, int, int, int]:
        """The sizes of the four axes on this many devices.

        Raises:
          InputError: the sizes don't multiply to the number of devices.
        """
        sizes = {axis: getattr(self, axis) for axis in AXES}
        free = [axis for axis, size in sizes.items() if size == -1]
        if len(free) > 1 or any(size < 1 for axis, size in sizes.items() if axis not in free):
            raise InputError(f"{self}: sizes must be 1 or more, and -1 at most once")
        fixed = math.prod(size for size in sizes.values() if size != -1)
        if free and devices % fixed == 0:
            sizes[free[0]] = devices // fixed
        if math.prod(sizes.values()) != devices:
            raise InputError(
                f"mesh {sizes} does not fit {devices} devices; "
                f"set MeshShape so that the product is {devices} (fsdp=-1 takes the rest)"
            )
        return sizes["replica"], sizes["fsdp"], sizes["tensor"], sizes["context"]


def make_mesh(shape: MeshShape, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The mesh over `devices` (default: all), with axes of type Auto, so that jit propagates.

    Raises:
      InputError: sizes that don't fit the devices, or slices that replica doesn't span.
    """
    devices = jax.devices() if devices is None else list(devices)
    array = arrange_devices(shape.resolve(len(devices)), devices)
    return Mesh(array, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def arrange_devices(sizes: Sequence[int], devices: Sequence[Any]) -> np.ndarray:
    """Devices as an array of these sizes, neighbors close; slices are along replica, axis 0.

    Slices are connected by the data center's network only, which suits one all-reduce of the
    gradients in a step.

    Raises:
      InputError: replica is not a multiple of the number of slices.
    """
    slices = len({getattr(device, "slice_index", None) or 0 for device in devices})
    if sizes[0] % slices:
        raise InputError(
            f"the devices are in {slices} slices, MeshShape.replica is {sizes[0]}; "
            f"set it to a multiple of {slices}, since only replicas can span slices"
        )
    inner = (sizes[0] // slices, *sizes[1:])
    if slices == 1:
        return mesh_utils.create_device_mesh(inner, devices, allow_split_physical_axes=True)
    outer = (slices, *(1 for _ in sizes[1:]))
    return mesh_utils.create_hybrid_device_mesh(
        inner, outer, devices, allow_split_physical_axes=True
    )
