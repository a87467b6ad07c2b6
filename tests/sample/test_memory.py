"""Prompts that are resident at a time, where the memory doesn't hold as many as were planned."""

import dataclasses
from unittest import mock

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh

from codex_jax import InputError, host_runtime, sharding
from codex_jax.sample.engine import memory
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.memory import fit_to_devices
from codex_jax.sample.sampling.params import SamplingParams
from tests.sample import models

WARM = SamplingParams(temperature=1.0)
SHAPE = plan(max_prompt_tokens=200, samples_per_prompt=4, rows=16, max_new_tokens=24)
# Float32 keys and values of 256 positions, 2 layers and 2 heads of 8.
PROMPT_BYTES = 2 * 4 * 256 * 2 * 2 * 8


def _mesh(**shape):
    return sharding.make_mesh(sharding.MeshShape(**shape), jax.devices()[: shape.get("tensor", 1)])


def _least_memory(mesh):
    """The fewest bytes of a device that aren't refused."""
    low, high = 1, 1 << 40
    while high - low > 1:
        middle = (low + high) // 2
        try:
            fit_to_devices(models.CONFIG, SHAPE, mesh, middle)
            high = middle
        except InputError:
            low = middle
    return high


def test_all_prompts_stay_where_they_fit():
    assert fit_to_devices(models.CONFIG, SHAPE, _mesh(), 1 << 40) == SHAPE


@pytest.mark.parametrize("tensor", [1, 2])
def test_memory_is_filled_with_prompts_up_to_three_quarters(tensor):
    mesh = _mesh(tensor=tensor)
    others, per_prompt = memory._needs(models.CONFIG, SHAPE, mesh)
    assert per_prompt == PROMPT_BYTES // tensor
    for count in (1, 2, 5):
        room = int((others + (count + 0.5) * PROMPT_BYTES / tensor) / 0.75)
        fitted = fit_to_devices(models.CONFIG, SHAPE, mesh, room)
        assert fitted == dataclasses.replace(SHAPE, resident_prompts=count)


@pytest.mark.parametrize("tensor", [1, 2])
@pytest.mark.parametrize("held", [1, 1000, 10**9])
def test_a_trainer_leaves_less(tensor, held):
    mesh = _mesh(tensor=tensor)
    others, per_prompt = memory._needs(models.CONFIG, SHAPE, mesh)
    room = -(-4 * (others + held + 2 * per_prompt) // 3)
    assert fit_to_devices(models.CONFIG, SHAPE, mesh, room, held=held).resident_prompts == 2
    least = -(-10 * (others + held + per_prompt) // 9)
    assert fit_to_devices(models.CONFIG, SHAPE, mesh, least, held=held).resident_prompts == 1
    with pytest.raises(InputError, match=r"^[\d.e-]+ GB of training, weights, 16 samples .* need"):
        fit_to_devices(models.CONFIG, SHAPE, mesh, least - 1, held=held)


@pytest.mark.parametrize("tensor", [1, 2])
def test_bytes_of_arrays_are_those_of_a_device(tensor):
    split = jax.sharding.NamedSharding(_mesh(tensor=tensor), jax.P("tensor"))
    tree = {"a": jax.device_put(jnp.zeros((4, 3)), split), "b": jnp.zeros((), jnp.int32)}
    assert memory.shard_bytes(tree) == 4 * 12 // tensor + 4


def test_one_prompt_stays_until_nine_tenths_are_needed():
    least = _least_memory(_mesh())
    assert least == -(-sum(memory._needs(models.CONFIG, SHAPE, _mesh())) * 10 // 9)
    assert fit_to_devices(models.CONFIG, SHAPE, _mesh(), least).resident_prompts == 1
    expected = (
        "weights, 16 samples of up to 24 tokens at a time and one prompt of 200 need 0.000.* GB "
        ".*; set fewer samples at a time"
    )
    with pytest.raises(InputError, match=expected):
        fit_to_devices(models.CONFIG, SHAPE, _mesh(), least - 1)


def test_samples_are_the_same_with_one_prompt_at_a_time(monkeypatch):
    requests = models.requests(sampling_params=WARM, seed=7)
    params = models.random_params()
    usual = models.start_engine(models.CONFIG, params)
    least = _least_memory(_mesh())
    monkeypatch.setattr(memory, "usable_memory", lambda: least)
    scarce = models.start_engine(models.CONFIG, params)
    assert (usual.shape.resident_prompts, scarce.shape.resident_prompts) == (16, 1)
    expected, samples = (models.collect(engine.run(requests)) for engine in (usual, scarce))
    assert samples.keys() == expected.keys()
    for key, sample in samples.items():
        assert sample.tokens.tolist() == expected[key].tokens.tolist()
        assert sample.logprobs.tolist() == expected[key].logprobs.tolist()


def test_cpu_devices_share_the_hosts_memory():
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:2])
    assert memory._device_memory(mesh) == host_runtime.usable_memory() // 2


@pytest.mark.parametrize(("stats", "expected"), [({"bytes_limit": 7}, 7), (None, None), ({}, None)])
def test_an_accelerators_memory_is_its_own(stats, expected):
    device = mock.Mock(platform="gpu", memory_stats=lambda: stats)
    mesh = mock.Mock(spec=Mesh, is_multi_process=False, local_devices=[device, device])
    assert memory._device_memory(mesh) == expected


def test_several_hosts_compile_what_was_planned():
    mesh = _mesh()
    with mock.patch.object(Mesh, "is_multi_process", property(lambda _: True)):
        assert memory._device_memory(mesh) is None
        assert fit_to_devices(models.CONFIG, SHAPE, mesh) == SHAPE


def test_a_kernels_cache_is_what_counts(monkeypatch):
    """It has 256 positions for 200 tokens and 384 for 300, blocks have 256 and 512."""
    shape = dataclasses.replace(SHAPE, max_prompt_tokens=300)
    blocks = memory._needs(models.CONFIG, shape, _mesh())[1]
    monkeypatch.setattr(memory.flat_cache, "choose_kernel", lambda *_: "gpu")
    chosen = fit_to_devices(models.CONFIG, shape, _mesh(), 1 << 40)
    assert chosen.flat_cache == "gpu"
    assert 4 * memory._needs(models.CONFIG, chosen, _mesh())[1] == 3 * blocks
