"""cuDNN's attention: lowered for CUDA anywhere, computed on a GPU."""

import types
import unittest.mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo

from codex_jax.model.attention.core import packed_attention
from codex_jax.model.attention.cudnn import cudnn_attention, fits

SEGMENTS = jnp.repeat(jnp.asarray([[1, 1, 2, 0], [1, 2, 2, 2]]), 32, axis=1)


def inputs(dtype, *, heads=4, kv_heads=2, size=64):
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = [(2, 128, n, size) for n in (heads, kv_heads, kv_heads)]
    return [jax.random.normal(key, s, dtype) for key, s in zip(keys, shapes, strict=True)]


def value_and_gradients(attention, arrays):
    def loss(*arrays):
        out, _ = attention(SEGMENTS)(*arrays, None, 0)
        return jnp.sum(out.astype(jnp.float32) ** 2)

    return jax.value_and_grad(loss, argnums=(0, 1, 2))(*arrays)


def test_bfloat16_calls_the_kernel_forward_and_backward(monkeypatch):
    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)
    step = jax.jit(lambda arrays: value_and_gradients(cudnn_attention, arrays))
    text = step.trace(inputs(jnp.bfloat16)).lower(lowering_platforms=("cuda",)).as_text()
    for call in ("@__cudnn$fmhaScaleBiasSoftmax(", "@__cudnn$fmhaScaleBiasSoftmaxBackward("):
        assert text.count(call) == 1
    assert text.count("CAUSAL") == 2  # masked blocks are skipped


def assert_equals_packed(arrays, tolerance):
    reference, result = (
        value_and_gradients(a, arrays) for a in (packed_attention, cudnn_attention)
    )
    for a, b in zip(*map(jax.tree.leaves, (result, reference)), strict=True):
        expected = np.asarray(b, np.float32)
        limit = tolerance * np.abs(expected).max()
        np.testing.assert_allclose(np.asarray(a, np.float32), expected, rtol=tolerance, atol=limit)


@pytest.mark.parametrize(
    ("dtype", "size", "tolerance"), [(jnp.float32, 64, 1e-5), (jnp.bfloat16, 20, 2e-2)]
)
def test_shapes_without_a_kernel_are_computed_by_tiles(dtype, size, tolerance):
    assert_equals_packed(inputs(dtype, size=size), tolerance)


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs an NVIDIA GPU")
def test_the_kernel_equals_packed_attention():
    assert_equals_packed(inputs(jnp.bfloat16), 2e-2)


@pytest.mark.parametrize(
    ("platform", "version", "capability", "length", "expected"),
    [
        ("gpu", "PJRT cuda 12090", "8.0", 2048, True),
        ("gpu", "PJRT cuda 12090", "7.5", 2048, False),
        ("gpu", "PJRT cuda 12090", "9.0", 2047, False),
        ("gpu", "PJRT rocm 6", "gfx942", 2048, False),
        ("cpu", "cpu", "", 2048, False),
    ],
)
def test_fits(platform, version, capability, length, expected):
    client = types.SimpleNamespace(platform_version=version)
    attributes = {"platform": platform, "client": client, "compute_capability": capability}
    device = unittest.mock.Mock(spec=jax.Device, **attributes)
    assert fits(device, length) is expected
