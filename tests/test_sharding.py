"""The sharding table, meshes, and a report that can fail."""

import dataclasses
import importlib.util

import jax
import pytest
from jax.sharding import PartitionSpec

from codex_jax import InputError, sharding
from codex_jax.model import DecoderConfig, abstract_params
from codex_jax.sharding import MeshShape, chips, topology


def test_logical_axes_become_mesh_axes():
    assert sharding.spec(("layers", "embed", "mlp")) == PartitionSpec(None, ("fsdp",), ("tensor",))
    assert sharding.spec(("batch", "sequence")) == PartitionSpec(("replica", "fsdp"), ("context",))


def test_collisions_and_unknown_axes_are_refused():
    with pytest.raises(ValueError, match="twice"):
        sharding.spec(("heads", "mlp"))
    with pytest.raises(ValueError, match="'expert'"):
        sharding.spec(("expert", "embed"))


def test_minus_one_takes_the_remaining_devices():
    assert MeshShape(tensor=2).resolve(8) == (1, 4, 2, 1)
    assert dict(sharding.make_mesh(MeshShape(replica=2, context=2)).shape) == {
        "replica": 2,
        "fsdp": 2,
        "tensor": 1,
        "context": 2,
    }


@pytest.mark.parametrize(
    "shape", [MeshShape(tensor=3), MeshShape(fsdp=2), MeshShape(fsdp=-1, tensor=-1)]
)
def test_a_mesh_that_does_not_fit_names_the_setting(shape):
    with pytest.raises(InputError, match=r"MeshShape|-1 at most once"):
        shape.resolve(8)


def test_every_parameter_is_listed_with_its_bytes():
    config = DecoderConfig(vocab_size=128, layers=2, width=64, heads=4)
    mesh = sharding.make_mesh(MeshShape(tensor=2))
    rows = {row.name: row for row in sharding.report(*abstract_params(config), mesh)}
    assert len(rows) == len(jax.tree.leaves(abstract_params(config)[0]))
    assert rows["blocks/mlp/up"].bytes_per_device == 2 * 64 * 256 * 4 // 8
    assert rows["norm/scale"].bytes_per_device == 64 * 4


def test_a_dimension_that_does_not_divide_names_the_setting():
    config = DecoderConfig(vocab_size=128, layers=1, width=30, heads=3)
    mesh = sharding.make_mesh(MeshShape(tensor=2))
    with pytest.raises(InputError, match=r"'\w+' is \d+, which (tensor|fsdp) = \d does not divide"):
        sharding.report(*abstract_params(config), mesh)


def test_a_large_replicated_parameter_fails():
    shapes = {"table": jax.ShapeDtypeStruct((4096, 1024), "float32")}
    axes = {"table": ("position", "norm")}
    with pytest.raises(InputError, match=r"table .* is replicated"):
        sharding.report(shapes, axes, sharding.make_mesh(MeshShape()))


@dataclasses.dataclass(frozen=True)
class Device:
    """The attributes of a device that `arrange_devices` reads."""

    id: int
    slice_index: int
    platform: str = "cpu"
    device_kind: str = "cpu"
    process_index: int = 0


def test_slices_are_along_replica():
    devices = [Device(id=n, slice_index=n // 4) for n in range(8)]
    array = sharding.arrange_devices((4, 2, 1, 1), devices)
    assert array.shape == (4, 2, 1, 1)
    assert [{d.slice_index for d in row.flat} for row in array] == [{0}, {0}, {1}, {1}]


def test_a_replica_that_cannot_span_the_slices_is_refused():
    devices = [Device(id=n, slice_index=n // 4) for n in range(8)]
    with pytest.raises(InputError, match=r"2 slices, MeshShape.replica is 1; set it"):
        sharding.arrange_devices((1, 8, 1, 1), devices)


def test_chips_by_device_kind():
    assert chips.chip_for("TPU v5").name == "v5p"
    assert chips.chip_for("TPU v5 lite").name == "v5e"
    assert chips.chip_for("NVIDIA H100 80GB HBM3").name == "h100"
    assert chips.chip_for("cpu") is None


@pytest.mark.parametrize("name", ["v5p", "v9:4x4", "h100:2x2", "v5p:4x", "v5e:2x2x2x2"])
def test_an_unknown_topology_is_refused_with_examples(name):
    with pytest.raises(InputError, match=r"is unknown; expected CHIP:AxB .* v5p:4x4x8"):
        topology.parse(name)


def test_a_missing_libtpu_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'codex-jax\[tpu\]'"):
        topology.devices("v5p:2x2x1")
