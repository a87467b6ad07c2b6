"""Checksums: known values, the same on host, device and mesh; every change is noticed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import sharding
from codex_jax.checkpoint import checksums
from codex_jax.checkpoint.checksums import host_checksum


def test_known_values():
    # fmix32 of MurmurHash3: 0 → 0, 1 → 0x514E28B7, 2³² − 1 → 0x81F16F39
    assert host_checksum(np.array([0], np.int32)) == 0
    assert host_checksum(np.array([1], np.uint8)) == 0x514E28B7
    assert host_checksum(np.array([-1], np.int32)) == 0x81F16F39
    assert host_checksum(np.zeros((0, 3), np.float32)) == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int32", "int8", "uint32"])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 3, 4, 5)])
def test_host_and_devices_agree(dtype, shape):
    values = np.random.default_rng(1).normal(size=shape) * 50
    array = jnp.asarray(values, dtype)
    assert checksums.checksums({"a": array}) == {"a": host_checksum(np.asarray(array))}


def test_any_mesh_has_the_same():
    array = jax.random.normal(jax.random.key(0), (16, 24))
    expected = checksums.checksums({"a": array})
    for shape in ({"fsdp": 8}, {"fsdp": 2, "tensor": 4}):
        mesh = sharding.make_mesh(sharding.MeshShape(**shape))
        spec = jax.sharding.PartitionSpec("fsdp", "tensor")
        placed = jax.device_put(array, jax.sharding.NamedSharding(mesh, spec))
        assert checksums.checksums({"a": placed}) == expected


def test_a_changed_bit_and_two_swapped_elements_are_noticed():
    array = np.random.default_rng(2).normal(size=5_000_000).astype(np.float32)
    before = host_checksum(array)
    for position in (0, 1234567, 4_999_999):
        changed = array.copy()
        changed.view(np.uint32)[position] ^= 1 << 31
        assert host_checksum(changed) != before
    array[[7, 4_500_000]] = array[[4_500_000, 7]]
    assert host_checksum(array) != before


def test_all_elements_doubled_are_noticed():
    array = np.random.default_rng(3).normal(size=(64, 300)).astype(np.float32)
    assert host_checksum(2 * array) != host_checksum(array)


def test_names_of_leaves():
    tree = {"b": {"c": 1}, "a": [2, 3]}
    assert checksums.leaf_names(tree, "params/") == {
        "params/a/0": 2,
        "params/a/1": 3,
        "params/b/c": 1,
    }
