"""The sharding table, meshes, and a report that can fail."""

import dataclasses
import importlib.util
import math

import hypothesis
import jax
import pytest
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

from codex_jax import InputError, sharding
from codex_jax.model import DecoderConfig, abstract_params
from codex_jax.sharding import MeshShape, chips, logical_axes, topology


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


NAMES = [*logical_axes.LOGICAL_TO_MESH, *logical_axes.REPLICATED]


@hypothesis.given(st.lists(st.sampled_from(NAMES), max_size=4))
def test_a_spec_uses_each_mesh_axis_once_or_is_refused(axes):
    used = [axis for name in axes for axis in logical_axes.LOGICAL_TO_MESH.get(name, ())]
    if len(used) > len(set(used)):
        with pytest.raises(ValueError, match="twice"):
            sharding.spec(axes)
        return
    entries = sharding.spec(axes)
    flat = [(entry,) if isinstance(entry, str) else entry or () for entry in entries]
    assert [axis for entry in flat for axis in entry] == used
    assert len(entries) == len(axes)


@hypothesis.given(*[st.integers(1, 4)] * 4)
def test_sizes_that_multiply_to_the_devices_are_kept(replica, fsdp, tensor, context):
    sizes = (replica, fsdp, tensor, context)
    shape = MeshShape(replica=replica, fsdp=fsdp, tensor=tensor, context=context)
    assert shape.resolve(math.prod(sizes)) == sizes
    rest = dataclasses.replace(shape, fsdp=-1)
    assert rest.resolve(math.prod(sizes)) == sizes
    with pytest.raises(InputError, match=r"set MeshShape so that the product is"):
        shape.resolve(math.prod(sizes) + 1)


@pytest.mark.parametrize("sizes", [{"tensor": 0}, {"context": -2}, {"replica": -1, "fsdp": -1}])
def test_impossible_sizes_of_an_axis_are_refused(sizes):
    with pytest.raises(InputError, match="sizes must be 1 or more, and -1 at most once"):
        MeshShape(**sizes).resolve(8)


def test_rows_are_split_over_replica_and_fsdp():
    mesh = sharding.make_mesh(MeshShape(replica=2, fsdp=2, context=2))
    assert sharding.data_parallel(mesh) == 4
    local = sharding.batch_sharding(mesh).shard_shape((8, 32))
    assert local == (2, 16)


@pytest.mark.parametrize(
    ("topology_name", "chip", "sizes"),
    [("v4:2x2x4", "v4", (2, 2, 4)), ("v5e:4x8", "v5e", (4, 8)), ("v7x:2x2x1", "v7x", (2, 2, 1))],
)
def test_a_topology_is_a_chip_and_sizes(topology_name, chip, sizes):
    parsed, dimensions = topology.parse(topology_name)
    assert (parsed.name, dimensions) == (chip, sizes)


def test_the_table_of_chips_is_consistent():
    assert len({chip.name for chip in chips.CHIPS}) == len(chips.CHIPS)
    for chip in chips.CHIPS:
        assert chips.chip_for(chip.device_kind) is chip
        assert chip.is_tpu == (chip.link_bandwidth > 0)
        assert 50 < chip.peak_flops / chip.hbm_bandwidth < 1000, "FLOPs a byte"


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu")
@pytest.mark.parametrize(
    ("name", "slices", "devices", "hosts"),
    [("v5e:4x4", 1, 16, 4), ("v5e:2x2", 2, 8, 2), ("v5p:2x2x2", 1, 8, 2), ("v5e:1x1", 1, 1, 1)],
)
def test_real_topologies_have_their_devices_and_hosts(name, slices, devices, hosts):
    described = topology.devices(name, slices=slices)
    assert len(described) == devices
    assert len({device.process_index for device in described}) == hosts
    chip, _ = topology.parse(name)
    assert {device.device_kind for device in described} == {chip.device_kind}


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu")
def test_a_topology_that_the_compiler_refuses_is_one_line():
    with pytest.raises(InputError, match=r"'v5e:0x4': libtpu refuses it: .") as caught:
        topology.devices("v5e:0x4")
    assert "\n" not in str(caught.value)
