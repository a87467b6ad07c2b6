import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from codex_jax.sample.sampling.draw import (
    apply_adjustments,
    logprob,
    sample_key,
    sample_token,
)
from codex_jax.sample.sampling.params import LogitAdjustments, SamplingArrays, SamplingParams

ROWS = 4000


def to_arrays(params, rows):
    """The same parameters for every row."""
    numbers = (params.temperature, params.top_k, params.min_p, params.top_p)
    dtypes = (np.float32, np.int32, np.float32, np.float32)
    return SamplingArrays(
        *(np.full(rows, x, dtype) for x, dtype in zip(numbers, dtypes, strict=True))
    )


def draw(logits, params, seed=0, rows=ROWS):
    """`rows` independent draws from one distribution, with their log-probabilities."""
    index = jnp.arange(rows)
    keys = sample_key(jnp.full(rows, seed, jnp.uint32), index.astype(jnp.uint32), index, index)
    stacked = jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (rows, len(logits)))
    tokens = jax.jit(sample_token)(stacked, keys, to_arrays(params, rows))
    return map(np.asarray, (tokens, logprob(stacked, tokens)))


def exact(logits, params):
    """The distribution that the parameters define, by a full sort in f64."""
    scaled = np.asarray(logits, np.float64) / params.temperature
    p = np.exp(scaled - scaled.max())
    p /= p.sum()
    order = np.argsort(-p, kind="stable")
    if params.top_k:
        p[p < p[order[min(params.top_k, len(p)) - 1]]] = 0
        p /= p.sum()
    p[p < params.min_p * p.max()] = 0
    p /= p.sum()
    before = np.cumsum(p[order]) - p[order]
    p[order[before >= params.top_p]] = 0
    return p / p.sum()


PARAMS = [
    SamplingParams(temperature=1.0, top_p=1.0),
    SamplingParams(temperature=0.5, top_p=0.9),
    SamplingParams(temperature=2.0, top_p=0.6),
    SamplingParams(temperature=1.0, top_p=1.0, top_k=5),
    SamplingParams(temperature=1.3, top_p=0.8, top_k=20),
    SamplingParams(temperature=1.0, top_p=1.0, min_p=0.1),
]


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("size", [7, 300])
def test_draws_follow_the_exact_distribution(params, size):
    logits = np.random.default_rng(size).normal(size=size) * 2
    tokens, _ = draw(logits, params)
    p = exact(logits, params)
    assert (p[tokens] > 0).all(), "a token outside the filters"
    counts = np.bincount(tokens, minlength=size)
    often = p * ROWS >= 5
    observed = np.append(counts[often], counts[~often].sum())
    expected = np.append(p[often], p[~often].sum()) * ROWS
    chi2 = ((observed - expected) ** 2 / np.maximum(expected, 1e-9))[expected > 0].sum()
    freedom = (expected > 0).sum() - 1
    assert chi2 < freedom + 4 * (2 * freedom) ** 0.5 + 1


@pytest.mark.parametrize("draws", [1, 3])
def test_draws_in_advance_change_no_token(draws):
    rows = 64
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(rows, 300)), jnp.float32)
    index = jnp.arange(rows)
    keys = sample_key(index.astype(jnp.uint32), index.astype(jnp.uint32), index, index)
    arrays = to_arrays(SamplingParams(temperature=1.0, top_p=0.3), rows)
    arrays = arrays._replace(temperature=np.where(index % 4 == 0, 0, 1).astype(np.float32))
    expected, tokens = (
        jax.jit(functools.partial(sample_token, draws=n))(logits, keys, arrays) for n in (0, draws)
    )
    np.testing.assert_array_equal(tokens, expected)
    np.testing.assert_array_equal(tokens[::4], logits.argmax(axis=-1)[::4])


@hypothesis.given(
    st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40), st.floats(0.05, 1)
)
@settings(max_examples=25)
def test_only_the_nucleus_is_drawn(values, top_p):
    logits = np.pad(np.array(values), (0, 40 - len(values)), constant_values=-1e9)
    tokens, _ = draw(logits, SamplingParams(temperature=1.0, top_p=top_p), rows=64)
    p = np.exp(logits - logits.max())
    p /= p.sum()
    above = np.array([p[p > p[token]].sum() for token in tokens])
    assert (above < top_p + 1e-5).all()


def test_temperature_zero_and_top_1_take_the_likeliest():
    logits = np.random.default_rng(0).normal(size=50)
    for params in (
        SamplingParams(temperature=0.0),
        SamplingParams(top_k=1),
        SamplingParams(top_p=1e-6),
    ):
        tokens, _ = draw(logits, params, rows=32)
        assert (tokens == logits.argmax()).all()


def test_logprob_is_of_the_raw_distribution():
    tokens, logprobs = draw(
        np.log([0.5, 0.3, 0.2]), SamplingParams(temperature=0.3, top_p=0.5), rows=8
    )
    assert (tokens == 0).all()
    np.testing.assert_allclose(logprobs, np.log(0.5), rtol=1e-6)


def test_a_row_does_not_depend_on_its_neighbors():
    logits = jax.random.normal(jax.random.key(0), (32, 100))
    index = jnp.arange(32)
    keys = sample_key(jnp.full(32, 3), index, index, index)
    run = jax.jit(sample_token)
    tokens = run(logits, keys, to_arrays(SamplingParams(), 32))
    order = np.random.default_rng(0).permutation(32)
    moved = run(logits[order], keys[order], to_arrays(SamplingParams(), 32))
    np.testing.assert_array_equal(np.asarray(tokens)[order], moved)


def test_keys_differ_in_each_number():
    base = (0, 1, 2, 3)
    variants = [base, (9, 1, 2, 3), (0, 9, 2, 3), (0, 1, 9, 3), (0, 1, 2, 9), (0, 1, 3, 2)]
    drawn = {
        float(jax.random.uniform(sample_key(*(jnp.array([n]) for n in numbers))[0]))
        for numbers in variants
    }
    assert len(drawn) == len(variants)


def test_penalties_count_valid_tokens_and_biases_are_added():
    logits = jnp.zeros((2, 4))
    tokens, is_valid = jnp.array([[1, 1, 2], [3, 0, 0]]), jnp.array([[1, 1, 1], [1, 0, 0]]) > 0
    adjustments = LogitAdjustments(
        presence=jnp.array([1.0, 0.5]),
        frequency=jnp.array([0.25, 0.0]),
        token=jnp.array([[0, 4], [4, 4]]),
        bias=jnp.array([[7.0, 9.0], [9.0, 9.0]]),
    )
    adjusted = apply_adjustments(logits, tokens, is_valid, adjustments)
    np.testing.assert_allclose(adjusted, [[7, -1.5, -1.25, 0], [0, 0, 0, -0.5]])
