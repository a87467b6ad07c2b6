"""The TPU's attention kernel: run by the interpreter here, and compiled for a TPU topology."""

import dataclasses
import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from codex_jax import model, sharding
from codex_jax.model import quantization
from codex_jax.sample.engine import flat_cache, kv_cache, tpu_attention
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.prefix_attention import PartialSoftmax, empty_partial
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.sharding import topology
from tests.sample.models import EOS, TOKEN_BYTES, V, random_params

B, K, H, S = 8, 2, 128, 256
LENGTH = jnp.array([0, 5, 15, 16, 127, 128, 129, 255], jnp.int32)
CONFIG = model.DecoderConfig(
    vocab_size=V, layers=2, width=256, heads=4, kv_heads=4, head_size=128, max_length=256
)


def inputs(group):
    shapes = [(B, K, group, H), (B, K, H), (B, K, H), (B, K, S, H), (B, K, S, H)]
    keys = jax.random.split(jax.random.key(0), len(shapes))
    pairs = zip(keys, shapes, strict=True)
    return [(jax.random.normal(key, shape) / 3).astype(jnp.bfloat16) for key, shape in pairs]


def dense(x):
    x = x.dequantize(-1, jnp.float32) if isinstance(x, quantization.Int8) else x
    return np.asarray(x, np.float32)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.int8])
@pytest.mark.parametrize("group", [1, 3])
def test_it_attends_to_the_row_and_the_new_token_and_writes_it(group, dtype):
    q, k, v, *rest = inputs(group)
    keys, values = (kv_cache.to_cache_dtype(x, dtype) for x in rest)
    prompt = np.asarray(jax.random.normal(jax.random.key(1), (2, B, K, 7, H)), np.float32) / 3
    scores = np.einsum("BKGH,BKSH->BKGS", dense(q), prompt[0]) * H**-0.5
    weights = np.exp(scores - 3)
    mixed = np.einsum("BKGS,BKSH->BKGH", weights, prompt[1])
    shared = PartialSoftmax(mixed, np.full(mixed.shape[:3], 3, np.float32), weights.sum(-1))
    out, *written = tpu_attention.attend_and_write(
        q, k, v, keys, values, LENGTH, shared, interpret=True
    )
    caches = []
    stored = (kv_cache.to_cache_dtype(x, dtype) for x in (k, v))
    for cache, new, result in zip((keys, values), stored, written, strict=True):
        expected = jax.tree.map(lambda x, y: x.at[jnp.arange(B), :, LENGTH].set(y), cache, new)
        jax.tree.map(np.testing.assert_array_equal, result, expected)
        caches.append(dense(expected))
    for row, length in enumerate(LENGTH):
        key, value = (
            np.concatenate([seen[row], own[row, :, : length + 1]], axis=1)
            for seen, own in zip(prompt, caches, strict=True)
        )
        scores = np.einsum("KGH,KSH->KGS", dense(q)[row], key) * H**-0.5
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        expected = np.einsum("KGS,KSH->KGH", weights, value) / weights.sum(-1)[..., None]
        np.testing.assert_allclose(dense(out[row]), expected, atol=0.01)


def test_neighbors_change_no_bit():
    q, k, v, keys, values = inputs(1)
    no_prompt = empty_partial(q.shape)
    attend = functools.partial(tpu_attention.attend_and_write, interpret=True)
    before = attend(q, k, v, keys, values, LENGTH, no_prompt)[0]
    others = [x.at[4:].set(7) for x in (keys, values)]
    lengths = jnp.where(jnp.arange(B) < 4, LENGTH, 200)
    after = attend(q, k, v, *others, lengths, no_prompt)[0]
    np.testing.assert_array_equal(before[:4], after[:4])


@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="libtpu is not installed")
@pytest.mark.parametrize(
    ("dtype", "group", "position_bytes"), [(jnp.bfloat16, 1, 2 * H), (jnp.int8, 3, H + 4)]
)
def test_it_compiles_for_a_tpu_and_copies_no_cache(dtype, group, position_bytes, monkeypatch):
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    place = SingleDeviceSharding(topology.devices("v5e:2x2", slices=1)[0])
    q, k, v, *rest = inputs(group)
    caches = (kv_cache.to_cache_dtype(x, dtype) for x in rest)
    arrays = [q, k, v, *caches, LENGTH, empty_partial(q.shape)]
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), arrays)
    loop = jax.jit(tpu_attention.attend_and_write, donate_argnums=(3, 4))
    memory = loop.lower(*shapes).compile().memory_analysis()
    cache = B * K * S * position_bytes
    assert memory.alias_size_in_bytes >= 2 * cache
    assert memory.temp_size_in_bytes < cache


def sample(kernel, devices, cache="bfloat16", **mesh):
    shape = plan(
        max_prompt_tokens=80,
        samples_per_prompt=3,
        rows=8,
        max_new_tokens=8,
        dtype="bfloat16",
        kv_cache_dtype=cache,
    )
    engine = Engine(
        CONFIG,
        random_params(CONFIG),
        dataclasses.replace(shape, flat_cache=kernel),
        token_bytes=TOKEN_BYTES,
        eos_ids=[EOS],
        mesh=sharding.make_mesh(sharding.MeshShape(**mesh), jax.devices()[:devices]),
    )
    prompts = [[3, 5, 7], list(range(40)) * 2, [11]]
    greedy = SamplingParams(temperature=0.0)
    requests = [Request(str(n), prompt, range(3), greedy) for n, prompt in enumerate(prompts)]
    return {(s.request_id, s.sample_index): s.tokens.tolist() for s in engine.run(requests)}


@pytest.mark.parametrize("cache", ["bfloat16", "int8"])
def test_greedy_tokens_on_eight_devices_equal_one_and_those_of_tiles(cache):
    alone = sample("tpu", 1, cache)
    assert sample("tpu", 8, cache, tensor=4) == alone
    assert sample("", 1, cache) == alone
    assert len(alone) == 9


def test_the_kernel_is_chosen_for_a_tpu_only():
    cpu = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    assert flat_cache.choose_kernel(CONFIG, "bfloat16", "bfloat16", cpu) == ""
