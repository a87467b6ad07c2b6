"""Targets: counts that need no compiler, and sizes that are refused."""

import dataclasses

import pytest

from codex_jax import InputError
from codex_jax.compile.sampling_target import SampleTarget, Sampling
from codex_jax.compile.targets import TrainTarget
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape
from codex_jax.train.compute import Compute
from codex_jax.train.optimizer import Optimizer

MODEL = DecoderConfig(vocab_size=256, layers=2, width=128, heads=2, max_length=256)
TRAIN = TrainTarget(
    topology="v4:2x2x4",
    slices=1,
    model=MODEL,
    mesh=MeshShape(),
    batch_size=64,
    sequence_length=256,
    compute=Compute(),
    optimizer=Optimizer(),
)


@pytest.mark.parametrize(
    ("topology", "slices", "devices"),
    [("v4:2x2x4", 1, 16), ("v5e:4x4", 2, 32), ("v7x:2x2x1", 1, 8), ("v6e:1x1", 1, 1)],
)
def test_devices_are_chips_times_devices_of_a_chip(topology, slices, devices):
    target = dataclasses.replace(TRAIN, topology=topology, slices=slices)
    assert target.devices == devices
    assert target.chip.name == topology.partition(":")[0]


@pytest.mark.parametrize("topology", ["v5e", "v5e:4", "h100:2x2", "v5e:4x4x4x4", "v5e: 4x4", ""])
def test_an_unknown_topology_is_refused(topology):
    with pytest.raises(InputError, match="expected CHIP:AxB or CHIP:AxBxC"):
        _ = dataclasses.replace(TRAIN, topology=topology).devices


@pytest.mark.usefixtures("unchecked_types")
def test_zero_slices_are_refused():
    with pytest.raises(InputError, match="slices is 0; expected 1 or more"):
        dataclasses.replace(TRAIN, slices=0).devices_for()


def test_tokens_and_mfu():
    assert TRAIN.tokens == 64 * 256
    flops = MODEL.flops_per_token(256) * TRAIN.tokens / 16
    assert TRAIN.mfu(flops / TRAIN.chip.peak_flops) == pytest.approx(1.0)
    assert TRAIN.mfu(4 * flops / TRAIN.chip.peak_flops) == pytest.approx(0.25)


def test_kernels_cost_the_flops_of_causal_attention():
    assert TRAIN.kernel_seconds(0) == 0
    flops = 12 * 256 * 2 * 2 * 64 / 2 * TRAIN.tokens  # 12·L·N·H·T/2 for each token
    expected = flops / 16 / TRAIN.chip.peak_flops
    assert TRAIN.kernel_seconds(6) == pytest.approx(expected)


def test_the_title_tells_sizes_and_precision():
    target = dataclasses.replace(TRAIN, compute=Compute(dtype="bfloat16", remat="full"))
    assert target.title == "train step of 64 rows of 256, remat full, bfloat16"


def sampling(**sizes):
    return SampleTarget(
        topology="v5e:4x4",
        slices=1,
        model=MODEL,
        mesh=MeshShape(tensor=2),
        sampling=Sampling(**sizes),
        dtype="bfloat16",
    )


def test_the_engine_has_the_sizes_of_the_workload():
    shape = sampling(batch_size=64, samples=10, max_prompt_tokens=100, max_new_tokens=33).shape
    assert (shape.rows, shape.max_prompt_tokens, shape.max_new_tokens) == (64, 100, 33)
    assert (shape.dtype, shape.weights_dtype, shape.kv_cache_dtype) == ("bfloat16",) * 3


def test_stored_types_are_settings_of_their_own():
    target = sampling(weights_dtype="int8", kv_cache_dtype="int8")
    assert (target.shape.weights_dtype, target.shape.kv_cache_dtype) == ("int8", "int8")
    assert target.title.endswith("bfloat16, weights int8, cache int8")


@pytest.mark.parametrize("name", ["weights_dtype", "kv_cache_dtype"])
def test_an_unknown_type_is_refused(name):
    with pytest.raises(InputError, match=f"{name} is 'int4'; set {name} to one of"):
        _ = sampling(**{name: "int4"}).shape
