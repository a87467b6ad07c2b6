"""Weights and caches of eight bits: their distance from f32, and exactness otherwise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import InputError, model, sharding
from codex_jax.model import quantization
from codex_jax.model.attention.core import packed_attention
from codex_jax.sample.engine import shardings
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.sampling.params import SamplingParams
from tests.sample import models

WARM = SamplingParams(temperature=1.0, top_p=0.95)
EIGHT = {"weights_dtype": "int8", "kv_cache_dtype": "int8"}


@pytest.fixture(scope="module")
def eight():
    return models.start_engine(models.ROTARY, models.random_params(models.ROTARY), **EIGHT)


@pytest.fixture(scope="module")
def undisturbed(eight):
    return models.collect(eight.run(models.requests(sampling_params=WARM, seed=7)))


@jax.jit
def run_one_pass(params, tokens):
    attend = packed_attention(jnp.ones_like(tokens))

    def rounded(q, k, v, cache, layer):
        k, v = (quantization.quantize(x, -1).dequantize(-1, jnp.float32) for x in (k, v))
        return attend(q, k, v, cache, layer)

    positions = jnp.arange(tokens.shape[1])[None]
    hidden, _ = model.forward(models.ROTARY, params, tokens, positions, rounded, scan=False)
    return jax.nn.log_softmax(model.unembed(models.ROTARY, params, hidden)[0])


def in_one_pass(params, tokens):
    """Log-softmax of every position without a cache; keys and values rounded as in one."""
    padded = np.zeros((1, 128), np.int32)
    padded[0, : len(tokens)] = tokens
    return np.asarray(run_one_pass(params, padded))[: len(tokens)]


def test_rounding_is_within_half_a_step_and_keeps_zeros():
    x = jax.random.normal(jax.random.key(0), (5, 7, 3)).at[2].set(0)
    quantized = quantization.quantize(x, (1, 2))
    assert quantized.values.dtype == jnp.int8
    assert quantized.scale.shape == (5,)
    step = np.abs(x).max(axis=(1, 2)) / 127
    error = np.abs(quantized.dequantize((1, 2), jnp.float32) - x).max(axis=(1, 2))
    assert (error <= step / 2 + 1e-7).all()
    assert not np.isnan(quantized.dequantize((1, 2), jnp.float32)).any()


def test_a_product_is_that_of_the_restored_weight():
    x = jax.random.normal(jax.random.key(0), (2, 3, 8))
    weight = quantization.quantize(jax.random.normal(jax.random.key(1), (8, 4, 6)), 0)
    product = quantization.quantized_einsum("BTD,DNH->BTNH", x, weight)
    expected = jnp.einsum("BTD,DNH->BTNH", x, weight.dequantize(0, jnp.float32))
    np.testing.assert_allclose(product, expected, rtol=1e-5, atol=1e-5)


def test_cached_equals_uncached(eight, undisturbed):
    """Log-probabilities are those of one pass over the whole text with the same rounding."""
    away = []
    for (name, _), sample in list(undisturbed.items())[::3]:
        prompt = models.PROMPTS[int(name)]
        logprobs = in_one_pass(eight.params, [*prompt, *sample.tokens[:-1]])[len(prompt) - 1 :]
        expected = logprobs[np.arange(len(sample.tokens)), sample.tokens]
        away.extend(np.abs(sample.logprobs - expected))
    # 7e-7 here; a key on the border between two integers may fall to either side by f32's rounding.
    assert np.mean(away) < 1e-3
    assert max(away) < 0.02


def test_log_probabilities_stay_near_those_of_f32(undisturbed):
    params, away = models.random_params(models.ROTARY), []
    for (name, _), sample in list(undisturbed.items())[::3]:
        prompt = models.PROMPTS[int(name)]
        exact = models.teacher_forced(models.ROTARY, params, [*prompt, *sample.tokens[:-1]])
        exact = exact[len(prompt) - 1 :][np.arange(len(sample.tokens)), sample.tokens]
        away.extend(np.abs(sample.logprobs - exact))
    assert np.mean(away) < 0.01
    assert max(away) < 0.05


def test_neighbors_and_order_change_no_bit(eight, undisturbed):
    some = [r._replace(samples=[3, 1]) for r in models.requests(sampling_params=WARM, seed=7)[::-2]]
    for key, sample in models.collect(eight.run(some)).items():
        np.testing.assert_array_equal(sample.tokens, undisturbed[key].tokens)
        np.testing.assert_array_equal(sample.logprobs, undisturbed[key].logprobs)


def test_echo_scores_as_sampling_would(eight):
    prompt = models.PROMPTS[3]
    request = models.requests([prompt], 0)[0]._replace(echo=True)
    eight.submit(request)
    (scored,) = eight.step()
    logprobs = in_one_pass(eight.params, prompt)
    expected = logprobs[np.arange(len(prompt) - 1), prompt[1:]]
    np.testing.assert_allclose(scored.logprobs, expected, atol=0.02)


def test_a_quarter_of_the_bytes_is_stored():
    def stored_bytes(**dtypes):
        engine = models.start_engine(models.ROTARY, models.random_params(models.ROTARY), **dtypes)
        sizes = [
            sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
            for tree in (engine.params, engine._executor.state.rows.cache)
        ]
        return np.array(sizes)

    weights, cache = stored_bytes(**EIGHT) / stored_bytes()
    assert weights < 0.4  # of matrices this small, scales and norms are a large part
    assert cache == (8 + 4) / (4 * 8)  # heads of 8, and an f32 scale each


def test_each_alone_and_over_bfloat16():
    params = models.random_params()
    for dtypes in (
        {"weights_dtype": "int8"},
        {"kv_cache_dtype": "int8"},
        EIGHT | {"dtype": "bfloat16"},
    ):
        running = models.start_engine(models.CONFIG, params, **dtypes)
        for sample in running.run(models.requests(models.PROMPTS[:2], n=1, sampling_params=WARM)):
            prompt = models.PROMPTS[int(sample.request_id)]
            exact = models.teacher_forced(models.CONFIG, params, [*prompt, *sample.tokens[:-1]])
            exact = exact[len(prompt) - 1 :][np.arange(len(sample.tokens)), sample.tokens]
            np.testing.assert_allclose(sample.logprobs, exact, atol=0.1)


def test_scales_are_sharded_as_their_outputs():
    """Weights split over two devices, rows over four: greedy output is one device's."""
    params = models.random_params(models.ROTARY)
    many = {"devices": 8, "mesh": sharding.MeshShape(tensor=2)}
    split, single = (
        models.start_engine(models.ROTARY, params, weights_dtype="int8", **more)
        for more in (many, {})
    )
    shapes = shardings.decode_param_shapes(models.ROTARY, split.shape, split._executor.mesh)
    for leaf, shape in zip(jax.tree.leaves(split.params), jax.tree.leaves(shapes), strict=True):
        assert leaf.sharding.is_equivalent_to(shape.sharding, leaf.ndim)
    requests = models.requests(
        models.PROMPTS[:3], 1, sampling_params=SamplingParams(temperature=0.0)
    )
    a, b = (models.collect(each.run(requests)) for each in (split, single))
    assert {k: v.tokens.tolist() for k, v in a.items()} == {
        k: v.tokens.tolist() for k, v in b.items()
    }


@pytest.mark.parametrize(
    ("dtypes", "message"),
    [
        (
            {"weights_dtype": "int4"},
            "weights_dtype is 'int4'; set weights_dtype to one of float32, bfloat16, int8",
        ),
        (
            {"kv_cache_dtype": "float8"},
            "kv_cache_dtype is 'float8'; set kv_cache_dtype to one of float32",
        ),
        ({"dtype": "int8"}, "dtype is 'int8'; set dtype to one of float32, bfloat16"),
    ],
)
def test_an_unknown_dtype_is_refused(dtypes, message):
    with pytest.raises(InputError, match=message):
        plan(max_prompt_tokens=8, samples_per_prompt=1, rows=1, max_new_tokens=1, **dtypes)
