"""The report's lines, from estimates with known numbers."""

import dataclasses

import pytest

from codex_jax.compile import report
from codex_jax.compile.estimate import Estimate
from codex_jax.compile.sampling_target import SampleTarget, Sampling
from codex_jax.compile.targets import TrainTarget
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape
from codex_jax.train.compute import Compute
from codex_jax.train.optimizer import Optimizer

MODEL = DecoderConfig(vocab_size=256, layers=2, width=128, heads=2, max_length=256)
TRAIN = TrainTarget(
    topology="v5e:2x2",
    slices=1,
    model=MODEL,
    mesh=MeshShape(),
    batch_size=8,
    sequence_length=256,
    compute=Compute(dtype="bfloat16"),
    optimizer=Optimizer(),
)
FITTING = Estimate(fits=True, arguments=3 << 30, temporaries=2 << 30, outputs=1 << 30, seconds=0.5)


def lines(target, **changes):
    text = report.page(target, dataclasses.replace(FITTING, **changes))
    return [line for line in text.splitlines() if line]


def value_of(name, page):
    return next(line[18:] for line in page if line.startswith(f"{name} "))


def test_the_title_names_the_mesh_without_axes_of_size_one():
    assert lines(TRAIN)[0].endswith("on v5e:2x2, fsdp 4")
    split = dataclasses.replace(TRAIN, mesh=MeshShape(fsdp=2, tensor=2))
    assert lines(split)[0].endswith("fsdp 2 × tensor 2")
    slices = dataclasses.replace(TRAIN, slices=2, mesh=MeshShape(replica=2, fsdp=4))
    assert "on v5e:2x2 × 2 slices, replica 2 × fsdp 4" in lines(slices)[0]


def test_memory_is_what_must_be_free():
    page = lines(TRAIN, aliased=1 << 30)
    expected = "5.0 of 15.75 GiB: arguments 3.0, temporaries 2.0, output 1.0 (1.0 of it in"
    assert value_of("HBM a device", page).startswith(expected)


def test_mfu_is_the_model_flops_over_the_peak():
    page = lines(TRAIN, seconds=0.001)
    flops = MODEL.flops_per_token(256) * 8 * 256
    assert value_of("MFU", page).startswith(f"{flops / 4 / 197e12 / 0.001:.3f} = ")


def test_times_below_a_tenth_of_a_second_are_milliseconds():
    assert value_of("XLA's estimate", lines(TRAIN, seconds=0.0123)).startswith("12.30 ms a step")
    assert value_of("XLA's estimate", lines(TRAIN)).startswith("0.500 s a step: 750.0 M cycles")


def test_kernels_of_a_train_step_take_at_least_their_flops():
    page = lines(TRAIN, kernels=6)
    assert "6 calls of attention kernels: at least" in value_of("without", page)
    assert not any(line.startswith("without") for line in lines(TRAIN))


def test_an_all_reduce_crosses_the_links_twice():
    once = lines(TRAIN, collectives={"all-gather": (4, 200_000_000_000, 100_000_000_000)})
    twice = lines(TRAIN, collectives={"all-reduce": (4, 200_000_000_000, 0)})
    wire = "on the wire"
    assert (
        value_of(wire, once) == "1.000 s at the links' 200 GB/s, 0.500 s of it beside computation"
    )
    assert value_of(wire, twice).startswith("2.000 s at")
    assert value_of("all-gather", once).split() == ["200.00", "GB", "in", "4", "calls"]
    assert not any(line.startswith(wire) for line in lines(TRAIN))


def test_the_largest_values_have_a_line_each():
    values = ((3 << 20, "bf16[3,1024]", "jit(step)/dot"), (1 << 20, "f32[262144]", "params['up']"))
    page = lines(TRAIN, values=values)
    assert page[-3].split() == ["3.0", "MiB", "bf16[3,1024]", "jit(step)/dot"]
    assert page[-2].split() == ["1.0", "MiB", "f32[262144]", "params['up']"]


def test_the_host_memory_is_shown_where_a_program_uses_it():
    assert value_of("host memory", lines(TRAIN, host=5 << 30)) == "5.0 GiB a device"


def test_a_program_that_does_not_fit_names_the_settings():
    page = lines(TRAIN, fits=False, failure="Ran out of memory in space hbm. Used 20G of 15.75G.")
    assert page[1].endswith("Used 20G of 15.75G.")
    assert page[-1].endswith("change batch_size, Compute.remat, Compute.loss_chunks or the mesh")
    assert len(page) == 3
    assert "change batch_size" in lines(TRAIN, fits=False)[-1]


SAMPLE = SampleTarget(
    topology="v5e:2x2",
    slices=1,
    model=MODEL,
    mesh=MeshShape(tensor=2),
    sampling=Sampling(batch_size=8, samples=4, max_prompt_tokens=64, max_new_tokens=64),
    dtype="bfloat16",
)


@pytest.fixture
def sampling_page(monkeypatch):
    """The report of a sampling step that must read 2 GiB, and takes so long."""

    def page(**changes):
        monkeypatch.setattr(SampleTarget, "bytes_read", lambda _: (1 << 30, 1 << 30))
        return lines(SAMPLE, **changes)

    return page


def test_the_roofline_is_the_share_of_the_memory_rate(sampling_page):
    seconds = 2 * 2**30 / 0.819e12
    page = sampling_page(seconds=2 * seconds)
    assert value_of("roofline", page).startswith(f"0.50 = {1000 * seconds:.2f} ms / ")
    assert f"; {8 / (2 * seconds):,.0f} tokens/s on all devices" in value_of("roofline", page)


def test_kernels_of_the_sampling_loop_are_part_of_its_time(sampling_page):
    seconds = 2 * 2**30 / 0.819e12
    page = sampling_page(
        seconds=seconds, kernels=3, kernel_seconds=3 * seconds, uncounted_kernels=1
    )
    assert value_of("roofline", page).startswith("0.25 = ")
    assert value_of("kernels", page).startswith("3 calls, at least")
    assert any("1 of them state no cost" in line for line in page)
