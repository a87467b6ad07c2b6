"""The sampling loop's bytes, against sums of the arrays' own sizes."""

import importlib.util
import math

import pytest

from codex_jax.compile.sampling_target import SampleTarget, Sampling
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs libtpu: pip install -e '.[tpu]'"
)
MODEL = DecoderConfig(
    vocab_size=256,
    layers=2,
    width=128,
    heads=4,
    kv_heads=2,
    positions="rotary",
    norm="rmsnorm",
    bias=False,
    tied=False,
)
SIZES = {"batch_size": 16, "samples": 4, "max_prompt_tokens": 64, "max_new_tokens": 32}


def target(mesh=MeshShape(), **sampling):
    return SampleTarget(
        topology="v5e:2x2",
        slices=1,
        model=MODEL,
        mesh=mesh,
        sampling=Sampling(**SIZES | sampling),
        dtype="bfloat16",
    )


def weight_bytes(size):
    """Bytes of all weights that a step multiplies with; norms apart."""
    attention = 128 * 32 * (4 + 2 + 2) + 4 * 32 * 128
    return size * (2 * (attention + 2 * 128 * 512) + 128 * 256)


def test_weights_are_read_once_by_a_device_that_holds_all():
    weights, _ = target(mesh=MeshShape(fsdp=4, tensor=1)).bytes_read()
    assert weights == weight_bytes(2) + 4 * (2 * 2 * 128 + 128)  # norms stay in f32


def test_tensor_splits_weights_and_caches():
    full, split = (target(mesh=MeshShape(fsdp=4 // n, tensor=n)) for n in (1, 2))
    assert split.bytes_read()[0] == pytest.approx(full.bytes_read()[0] / 2, rel=0.02)


@pytest.mark.parametrize(("batch_size", "samples"), [(16, 4), (64, 4), (64, 16)])
def test_caches_hold_prompts_once_and_rows_in_full(batch_size, samples):
    sizes = {"batch_size": batch_size, "samples": samples}
    _, caches = target(mesh=MeshShape(fsdp=4, tensor=1), **sizes).bytes_read()
    rows = batch_size // 4
    positions = math.ceil(rows / samples) * 64 + rows * 32
    assert caches == positions * 2 * 2 * 2 * 32 * 2  # layers, keys and values, heads, size, bytes


def test_int8_halves_weights_and_nearly_caches():
    mesh = MeshShape(fsdp=4, tensor=1)
    weights, caches = target(mesh=mesh).bytes_read()
    small_weights, small_caches = target(
        mesh=mesh, weights_dtype="int8", kv_cache_dtype="int8"
    ).bytes_read()
    assert 0.5 < small_weights / weights < 0.6  # scales, norms
    assert small_caches / caches == (32 + 4) / 64


def test_the_roofline_is_bytes_over_bandwidth():
    loop = target()
    assert loop.roofline() == pytest.approx(sum(loop.bytes_read()) / 0.819e12)
