"""cuDNN's attention: lowered for CUDA anywhere, computed on a GPU."""

import functools
import itertools
import types
import unittest.mock

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax._src.cudnn import fused_attention_stablehlo

from codex_jax.model.attention.core import packed_attention, packed_mask
from codex_jax.model.attention.cudnn import (
    LISTS,
    choose_lists,
    choose_way,
    cudnn_attention,
    fits,
    list_segments,
)

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


def listed_attention(segment_ids):
    return cudnn_attention(segment_ids, LISTS)


def lower(monkeypatch, attention, arrays):
    """The text of a step for CUDA, as on a Hopper GPU."""
    for name, value in (("check_cudnn_version", 91000), ("check_compute_capability", True)):
        monkeypatch.setattr(fused_attention_stablehlo, name, lambda *_, value=value: value)
    monkeypatch.setattr(
        fused_attention_stablehlo, "is_cuda_compute_capability_equal", lambda _: False
    )
    step = jax.jit(lambda arrays: value_and_gradients(attention, arrays))
    return step.trace(arrays).lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize(
    ("attention", "kv_heads", "lists"),
    [
        (cudnn_attention, 2, 0),
        (listed_attention, 4, len(LISTS)),
        (listed_attention, 2, len(LISTS) if jax.__version_info__ >= (0, 11, 2) else 0),
    ],
)
def test_each_way_calls_the_kernel_forward_and_backward(monkeypatch, attention, kv_heads, lists):
    text = lower(monkeypatch, attention, inputs(jnp.bfloat16, kv_heads=kv_heads))
    for call in ("Softmax(", "SoftmaxBackward("):
        assert text.count("custom_call @__cudnn$fmhaScaleBias" + call) == 1
        assert text.count("custom_call @__cudnn$fmha" + call) == 1 + lists
    assert text.count("PADDING_CAUSAL") == 2 * lists
    assert text.count("CAUSAL") == 2 * (2 + lists)  # masked blocks are skipped


def runs_of(row):
    """(length, start) of each run of equal numbers."""
    bounds = [0, *(n for n in range(1, len(row)) if row[n] != row[n - 1]), len(row)]
    return [(end - start, start) for start, end in itertools.pairwise(bounds)]


ROWS = st.lists(st.lists(st.integers(0, 3), min_size=12, max_size=12), min_size=1, max_size=3)


@hypothesis.given(ROWS)
@hypothesis.settings(max_examples=50)
def test_lists_hold_the_runs_of_equal_ids_and_choose_the_way(rows):
    rows = np.asarray(rows, np.int32)
    expected = [runs_of(row) for row in rows]
    lengths, starts = map(np.asarray, list_segments(jnp.asarray(rows), 4)[1:])
    for runs, row_lengths, row_starts in zip(expected, lengths, starts, strict=True):
        kept = runs[:4] + [(-1, -1)] * (4 - len(runs))
        assert [*zip(row_lengths, row_starts, strict=False)] == kept
        assert row_starts[4] == -1
    most = max(map(len, expected))
    in_pieces = any(
        len({row[start] for _, start in runs}) < len(runs)
        for row, runs in zip(rows, expected, strict=True)
    )
    way = 0 if most == 1 else 1 if most <= 2 else 2 if most <= 4 else 3
    assert int(choose_way(jnp.asarray(rows), (2, 4))) == (3 if in_pieces else way)
    assert int(choose_way(jnp.asarray(rows), ())) == int(most > 1)
    if way < 3 and not in_pieces:  # the lists say what packed rows see
        begins, ends = starts[:, :4, None], (starts[:, :4] + lengths)[:, :, None]
        is_member = (np.arange(12) >= begins) & (np.arange(12) < ends) & (begins >= 0)
        seen = np.einsum("BMT,BMS->BTS", is_member, is_member) & np.tri(12, dtype=bool)
        np.testing.assert_array_equal(seen, packed_mask(jnp.asarray(rows)))


def assert_equals_packed(arrays, tolerance, attention=cudnn_attention):
    reference, result = (value_and_gradients(a, arrays) for a in (packed_attention, attention))
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
@pytest.mark.parametrize("lists", [(), (2, 4), (4, 8)])
def test_the_kernel_equals_packed_attention(lists):
    attention = functools.partial(cudnn_attention, lists=lists)
    assert_equals_packed(inputs(jnp.bfloat16), 2e-2, attention)


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


@pytest.mark.parametrize(("capability", "lists"), [("8.9", ()), ("9.0", LISTS), ("10.0", LISTS)])
def test_lists_are_for_hopper_and_later(capability, lists):
    device = unittest.mock.Mock(spec=jax.Device, compute_capability=capability)
    assert choose_lists(device) == lists
