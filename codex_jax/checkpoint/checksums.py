"""Checksums of arrays, the same on any mesh: Σ hash(bits of element i, i), modulo 2³².

They are computed where the arrays are, on the devices, so that saving reads nothing back
and a run that continues reads each file once (`read_card` of the newest reads the parameters on the
host, before they are restored). A change of one element is always noticed, as the hash
(MurmurHash3's last steps) is a bijection; several but for one case in 2³².
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def leaf_names(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Returns name → leaf of a tree, such as "blocks/mlp/up", each after `prefix`."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        prefix + jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in leaves
    }


def _mix(bits: Any, index: Any) -> Any:
    """Hashes uint32 by uint32, of JAX or numpy."""
    mixed = bits ^ (index * np.uint32(0x9E3779B1))
    mixed = (mixed ^ (mixed >> 16)) * np.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> 13)) * np.uint32(0xC2B2AE35)
    return mixed ^ (mixed >> 16)


def _indices(shape: tuple[int, ...]) -> jax.Array:
    """uint32 of a shape, which count the elements in order."""
    index, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        counts = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
        index = index + counts * jnp.uint32(stride % 2**32)
        stride *= shape[axis]
    return index


def _bits(array: jax.Array) -> jax.Array:
    if array.dtype == jnp.bool_:
        return array.astype(jnp.uint32)
    unsigned = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[array.dtype.itemsize]
    return jax.lax.bitcast_convert_type(array, unsigned).astype(jnp.uint32)


@jax.jit
def _checksums(leaves: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {
        name: jnp.sum(_mix(_bits(leaf), _indices(leaf.shape)), dtype=jnp.uint32)
        for name, leaf in leaves.items()
    }


def start_checksums(leaves: dict[str, Any]) -> dict[str, jax.Array]:
    """Has the devices compute checksums, and waits for nothing; the arrays may be donated then.

    Args:
      leaves: Name → array of at most 32 bits an element.

    Returns:
      Name → checksum, uint32 (), which may still be under computation.
    """
    return _checksums({name: jnp.asarray(leaf) for name, leaf in leaves.items()})


def read_checksums(values: dict[str, jax.Array]) -> dict[str, int]:
    """Returns name → checksum as a number; waits for the devices."""
    return {name: int(value) for name, value in jax.device_get(values).items()}


def checksums(leaves: dict[str, Any]) -> dict[str, int]:
    """Returns name → checksum of arrays of at most 32 bits an element; waits for the devices."""
    return read_checksums(start_checksums(leaves))


def host_checksum(array: np.ndarray) -> int:
    """Returns the checksum of an array on the host."""
    array = np.ascontiguousarray(array)
    unsigned = {1: np.uint8, 2: np.uint16, 4: np.uint32}[array.dtype.itemsize]
    bits, total = array.reshape(-1).view(unsigned), 0
    for start in range(0, bits.size, 1 << 22):
        part = bits[start : start + (1 << 22)].astype(np.uint32)
        index = np.arange(start, start + part.size, dtype=np.uint64).astype(np.uint32)
        total += int(_mix(part, index).sum(dtype=np.uint32))
    return total % 2**32
