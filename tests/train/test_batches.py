"""Rows of hosts, on the topologies that libtpu describes and on this machine's devices."""

import importlib.util
import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh

from codex_jax import sharding
from codex_jax.records import Batch
from codex_jax.sharding import AXES, MeshShape, topology
from codex_jax.train.batches import host_rows, on_global_batches
from tests.train.counting import CountingBatches

# 1 to 64 hosts of each.
TOPOLOGIES = [
    *("v4:2x2x1", "v4:2x2x2", "v4:2x2x4", "v4:2x4x4", "v4:4x4x4", "v4:4x4x8", "v4:4x8x8"),
    *("v5p:2x2x1", "v5p:2x2x2", "v5p:2x2x4", "v5p:2x4x4", "v5p:4x4x4", "v5p:4x4x8", "v5p:4x8x8"),
    *("v5e:2x2", "v5e:2x4", "v5e:4x4", "v5e:4x8", "v5e:8x8", "v5e:8x16", "v5e:16x16"),
    *("v6e:2x2", "v6e:2x4", "v6e:4x4", "v6e:4x8", "v6e:8x8", "v6e:8x16", "v6e:16x16"),
]
SHAPES = [
    {},
    {"fsdp": 2, "replica": -1},
    {"tensor": 4},
    {"context": 4},
    {"tensor": 2, "context": 2},
]


def parts_of_hosts(mesh: Mesh) -> dict[int, set[int]]:
    """Host -> the parts of the batch that its devices hold, by the devices' coordinates."""
    sizes = [mesh.shape[axis] for axis in AXES]
    hosts: dict[int, set[int]] = {}
    for (replica, fsdp, _, _), device in np.ndenumerate(mesh.devices):
        hosts.setdefault(device.process_index, set()).add(replica * sizes[1] + fsdp)
    return hosts


def assert_rows_fit(mesh: Mesh) -> None:
    parts, rows_of_part = sharding.data_parallel(mesh), 3
    batches = CountingBatches(batch_size=parts * rows_of_part, sequence_length=64)
    hosts = parts_of_hosts(mesh)
    rows = {host: host_rows(mesh, batches, process=host) for host in hosts}
    for host, expected in hosts.items():
        assert {int(row) // rows_of_part for row in rows[host]} == expected
        assert len(rows[host]) == len(expected) * rows_of_part
        assert (np.diff(rows[host]) > 0).all()
    assert set(itertools.chain(*rows.values())) == set(range(batches.batch_size))
    if mesh.shape["tensor"] * mesh.shape["context"] == 1:
        assert sum(map(len, rows.values())) == batches.batch_size, "a row is read twice"


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu describes them")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_rows_of_hosts_are_disjoint_and_complete(name, shape):
    assert_rows_fit(sharding.make_mesh(MeshShape(**shape), topology.devices(name)))


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu describes them")
@pytest.mark.parametrize("slices", [2, 4])
@pytest.mark.parametrize("name", ["v4:2x2x2", "v5p:4x4x4", "v5e:4x4", "v6e:8x8"])
def test_rows_of_slices_are_disjoint_and_complete(name, slices):
    devices = topology.devices(name, slices=slices)
    assert_rows_fit(sharding.make_mesh(MeshShape(replica=slices), devices))


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu describes them")
def test_the_rows_of_a_host_are_no_contiguous_run():
    mesh = sharding.make_mesh(MeshShape(), topology.devices("v5e:4x4"))
    rows = host_rows(mesh, CountingBatches(batch_size=16), process=0)
    assert rows.tolist() == [0, 1, 6, 15]


@settings(max_examples=10)
@given(order=st.permutations(range(8)), shape=st.sampled_from([(2, 4, 1, 1), (2, 2, 1, 2)]))
def test_global_arrays_hold_every_row_on_any_order_of_devices(order, shape):
    devices = np.array(jax.devices())[list(order)].reshape(shape)
    mesh, batches = Mesh(devices, AXES), CountingBatches(batch_size=16)
    read = next(batches.batches(3, host_rows(mesh, batches)))
    keep_batch = on_global_batches(lambda _, batch: batch, mesh, batches)
    for array, expected in zip(keep_batch(None, read), batches.batch(3), strict=True):
        assert array.sharding == sharding.batch_sharding(mesh)
        np.testing.assert_array_equal(array, expected)


def test_a_batch_with_fewer_rows_than_the_host_holds_is_an_error():
    mesh = sharding.make_mesh(MeshShape())
    batches = CountingBatches(batch_size=16)
    short = Batch(*(array[:7] for array in batches.batch(0)))
    with pytest.raises(IndexError, match="out of bounds"):
        on_global_batches(lambda _, batch: batch, mesh, batches)(None, short)
