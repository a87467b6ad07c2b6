"""The GPU's attention kernel: run by the interpreter here, and lowered for CUDA."""

import dataclasses
import functools
import types
import unittest.mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import sharding
from codex_jax.model.quantization import quantize
from codex_jax.sample.engine import decode, flat_cache, gpu_attention
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import SamplingParams
from tests.sample.models import EOS, TOKEN_BYTES, counting_model

B, K, G, H, P, S, N = 6, 2, 3, 64, 3, 256, 192
PROMPT = np.array([0, 1, 2, 0, 1, 2], np.int32)
PREFIX = np.array([150, 0, 256], np.int32)
LENGTH = np.array([0, 5, 191, 128, 10, 0], np.int32)


def draw(*shapes):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    pairs = zip(keys, shapes, strict=True)
    return [jax.random.normal(key, shape).astype(jnp.bfloat16) for key, shape in pairs]


def inputs(quantized):
    shapes = [(B, K, H)] * 2 + [(P, K, S, H)] * 2 + [(B, K, N, H)] * 2
    q, *arrays = draw((B, K, G, H), *shapes)
    k, v, *caches = [quantize(x, -1) for x in arrays] if quantized else arrays
    return q, k, v, tuple(caches[:2]), tuple(caches[2:]), (PROMPT, PREFIX, LENGTH)


def dense(x):
    return np.asarray(x.dequantize(-1, jnp.float32) if isinstance(x, tuple) else x, np.float32)


def expected(q, k, v, prefix, suffix, lengths):
    """Attention of each row by itself, in numpy."""
    rows = []
    for row, owner in enumerate(lengths[0]):
        parts = [
            (dense(p)[owner, :, : PREFIX[owner]], dense(s)[row, :, : LENGTH[row]], dense(new)[row])
            for p, s, new in zip(prefix, suffix, (k, v), strict=True)
        ]
        keys, values = (np.concatenate([p, s, new[:, None]], axis=1) for p, s, new in parts)
        scores = np.einsum("KGH,KSH->KGS", dense(q)[row], keys) * H**-0.5
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        rows.append(np.einsum("KGS,KSH->KGH", weights, values))
    return np.stack(rows)


@pytest.mark.parametrize("quantized", [False, True])
def test_it_attends_to_prefix_suffix_and_the_new_token(quantized):
    arguments = inputs(quantized)
    out, keys, values = gpu_attention.attend_and_write(*arguments, interpret=True)
    np.testing.assert_allclose(dense(out), expected(*arguments), atol=0.02)
    for cache, before, new in zip((keys, values), arguments[4], arguments[1:3], strict=True):
        written = dense(before).copy()
        written[np.arange(B), :, LENGTH] = dense(new)
        np.testing.assert_array_equal(dense(cache), written)


@pytest.mark.parametrize("quantized", [False, True])
def test_a_prompts_padding_may_exceed_the_cache(quantized):
    config = dataclasses.replace(counting_model()[0], kv_heads=1)
    dtype = jnp.int8 if quantized else jnp.bfloat16
    layer = flat_cache.empty_cache(config, rows=2, positions=130, dtype=dtype)[0]
    keys, values = (
        flat_cache.to_cache_dtype(x, jnp.dtype(dtype)) for x in draw((1, 512, 64), (1, 512, 64))
    )
    by_head = jax.tree.map(lambda x: x.swapaxes(1, 2) if x.ndim == 3 else x, keys)
    written = flat_cache.write_prompt(layer, jnp.int32(1), by_head, values)
    for cache, new in zip(written, (keys, values), strict=True):
        assert dense(cache).shape == (2, 1, 256, 64)
        np.testing.assert_array_equal(dense(cache)[1], dense(new)[:, :256])
        assert not dense(cache)[0].any()


def test_one_array_of_queries_keys_and_values_gives_the_same_bits():
    q, k, v, *caches = inputs(quantized=False)
    separate = gpu_attention.attend_and_write(q, k, v, *caches, interpret=True)
    x = jnp.concatenate([q.reshape(B, K * G, H), k, v], axis=1)
    joined = gpu_attention.attend_to_joined(x, *caches, heads=K * G, interpret=True)
    for a, b in zip(joined, separate, strict=True):
        np.testing.assert_array_equal(dense(a), dense(b))


def test_neighbors_and_capacity_change_no_bit():
    q, k, v, prefix, suffix, lengths = inputs(quantized=False)
    out = gpu_attention.attend_and_write(q, k, v, prefix, suffix, lengths, interpret=True)[0]
    longer = tuple(jnp.pad(x, ((0, 0), (0, 0), (0, 64), (0, 0)), constant_values=7) for x in prefix)
    others = tuple(x.at[3:].set(1e4) for x in suffix)
    again = gpu_attention.attend_and_write(q, k, v, longer, others, lengths, interpret=True)[0]
    np.testing.assert_array_equal(dense(out)[:3], dense(again)[:3])


@pytest.mark.parametrize(
    ("platform", "version", "has_options"),
    [("gpu", "PJRT cuda 13000", True), ("gpu", "PJRT rocm 6", False), ("cpu", "cpu", False)],
)
def test_compiler_options_are_for_cuda(platform, version, has_options):
    client = types.SimpleNamespace(platform_version=version)
    device = unittest.mock.Mock(spec=jax.Device, platform=platform, client=client)
    has_options &= (0, 11, 2) <= jax.__version_info__ < (0, 12)
    assert bool(decode.compiler_options(device)) is has_options


@pytest.mark.parametrize("quantized", [False, True])
def test_it_lowers_for_cuda_without_a_gpu(quantized):
    traced = jax.jit(gpu_attention.attend_and_write).trace(*inputs(quantized))
    assert "triton" in traced.lower(lowering_platforms=("cuda",)).as_text()
    if not quantized:
        q, k, v, *caches = inputs(quantized)
        x = jnp.concatenate([q.reshape(B, K * G, H), k, v], axis=1)
        attend = functools.partial(gpu_attention.attend_to_joined, heads=K * G)
        traced = jax.jit(attend).trace(x, *caches)
        assert "triton" in traced.lower(lowering_platforms=("cuda",)).as_text()


def sample_counts(flat_cache, kv_cache_dtype):
    """Samples of a model whose next token is this token + 1."""
    config, params = counting_model()
    sizes = {"max_prompt_tokens": 80, "samples_per_prompt": 2, "rows": 4, "max_new_tokens": 8}
    shape = plan(**sizes, dtype="bfloat16", kv_cache_dtype=kv_cache_dtype)
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    engine = Engine(
        config,
        params,
        dataclasses.replace(shape, flat_cache=flat_cache),
        token_bytes=TOKEN_BYTES,
        eos_ids=[EOS],
        mesh=mesh,
    )
    greedy = SamplingParams(temperature=0.0)
    prompts = [[3, 5, 7], list(range(40)) * 2, [11]]
    requests = [Request(str(n), prompt, range(2), greedy) for n, prompt in enumerate(prompts)]
    return {(s.request_id, s.sample_index): s.tokens.tolist() for s in engine.run(requests)}


@pytest.mark.parametrize("kv_cache_dtype", ["bfloat16", "int8"])
def test_an_engine_with_the_kernel_counts_as_one_with_tiles(kv_cache_dtype):
    samples = sample_counts("gpu", kv_cache_dtype)
    assert samples == sample_counts("", kv_cache_dtype)
    assert samples["0", 1] == list(range(8, 16))
