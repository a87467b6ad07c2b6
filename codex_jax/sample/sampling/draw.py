"""Draws tokens from logits: temperature, top-k, min-p, top-p, exactly, without sorting.

The nucleus is closed upwards: a token belongs to it if and only if the likelier tokens together
weigh less than top_p. So a token is drawn from all that remain, one pass decides whether it
belongs, and if it doesn't, it and all less likely tokens are masked and the draw is repeated. This
is rejection sampling: exact, and at top_p = 0.95 about one draw a token.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from codex_jax.sample.sampling.params import LogitAdjustments, SamplingArrays

_CHUNK = 128  # tokens of the vocabulary in one entry of the coarse cumulative sum


def sample_key(
    seed: Integer[Array, "B"],
    prompt_hash: Integer[Array, "B"],
    sample_index: Integer[Array, "B"],
    position: Integer[Array, "B"],
) -> Key[Array, "B"]:
    """A threefry key a row, from (seed, prompt hash, sample index, position) alone."""

    def fold(seed, *numbers):
        key = jax.random.key(seed, impl="threefry2x32")
        for number in numbers:
            key = jax.random.fold_in(key, number)
        return key

    return jax.vmap(fold)(seed, prompt_hash, sample_index, position)


def apply_adjustments(
    logits: Float[Array, "B V"],
    tokens: Int[Array, "B T"],
    is_valid: Bool[Array, "B T"],
    adjustments: LogitAdjustments,
) -> Float[Array, "B V"]:
    """Logits after biases, and after penalties for the tokens sampled so far (where valid)."""
    rows = jnp.arange(len(logits))[:, None]
    at = rows, jnp.where(is_valid, tokens, logits.shape[1])
    counts = jnp.zeros_like(logits).at[at].add(1.0, mode="drop")
    logits = logits - adjustments.frequency[:, None] * counts
    logits = logits - adjustments.presence[:, None] * (counts > 0)
    return logits.at[rows, adjustments.token].add(adjustments.bias, mode="drop")


def sample_token(
    logits: Float[Array, "B V"],
    keys: Key[Array, "B"],
    arrays: SamplingArrays,
    *,
    draws: int = 0,
) -> Int[Array, "B"]:
    """A token a row.

    Args:
      logits: Of the rows' next tokens.
      keys: From `sample_key`.
      arrays: The rows' parameters.
      draws: Draws before asking whether another is needed; changes no token. Where a branch costs
        more than the work that it saves, as on a GPU, also the greedy token is always computed.
    """
    is_random = arrays.temperature > 0
    best = jax.lax.cond(
        is_random.all() if not draws else False,
        lambda: jnp.zeros(len(logits), jnp.int32),
        lambda: jnp.argmax(logits, axis=-1).astype(jnp.int32),
    )
    weights = _filter(logits, arrays)
    return _draw_from_nucleus(weights, best, keys, arrays.top_p, is_random, draws)


def logprob(logits: Float[Array, "B V"], tokens: Int[Array, "B"]) -> Float[Array, "B"]:
    """Log-probabilities of tokens, in nats."""
    token_logits = jnp.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
    return token_logits - jax.nn.logsumexp(logits, axis=-1)


def _filter(logits: Float[Array, "B V"], arrays: SamplingArrays) -> Float[Array, "B V"]:
    """exp(logit/T) relative to the largest, 0 where masked by top-k or min-p."""
    peak = logits.max(axis=-1, keepdims=True)
    temperature = jnp.where(arrays.temperature > 0, arrays.temperature, 1.0)[:, None]
    weights = jnp.exp((logits - peak) / temperature)
    least = jax.lax.cond(
        (arrays.top_k > 0).any(),
        lambda: _kth_largest(weights, arrays.top_k),
        lambda: jnp.zeros_like(arrays.min_p),
    )
    return jnp.where(weights >= jnp.maximum(least, arrays.min_p)[:, None], weights, 0.0)


def _kth_largest(weights: Float[Array, "B V"], k: Int[Array, "B"]) -> Float[Array, "B"]:
    """The largest number that at least k weights of a row reach, by bisection; 0 for k = 0.

    Non-negative floats are ordered as their bits are.
    """
    k = jnp.where(k > 0, jnp.minimum(k, weights.shape[1]), weights.shape[1])

    def set_bit(n, least):
        candidate = least | (jnp.int32(1) << (30 - n))
        reaches = weights >= jax.lax.bitcast_convert_type(candidate, jnp.float32)[:, None]
        return jnp.where(reaches.sum(axis=-1) >= k, candidate, least)

    least = jax.lax.fori_loop(0, 31, set_bit, jnp.zeros_like(k))
    return jax.lax.bitcast_convert_type(least, jnp.float32)


def _draw_from_nucleus(
    weights: Float[Array, "B V"],
    best: Int[Array, "B"],
    keys: Key[Array, "B"],
    top_p: Float[Array, "B"],
    is_random: Bool[Array, "B"],
    draws: int,
) -> Int[Array, "B"]:
    """Tokens in proportion to their weights, from the nucleus; `best` where not random."""
    total = weights.sum(axis=-1)

    def is_unfinished(state):
        return ~state[1].all()

    def attempt(state):
        tokens, done, floor, count = state
        remaining = jnp.where(weights > floor[:, None], weights, 0.0)
        candidate = _draw(remaining, jax.vmap(jax.random.fold_in, (0, None))(keys, count))
        weight = jnp.take_along_axis(weights, candidate[:, None], axis=-1)
        above = jnp.where(weights > weight, weights, 0.0).sum(axis=-1)
        weight = weight[:, 0]
        inside = (above < top_p * total) | (above == 0) | (top_p >= 1)
        inside &= weight > floor
        tokens = jnp.where(inside & ~done, candidate, tokens)
        floor = jnp.where(done | inside, floor, jnp.maximum(floor, weight))
        return tokens, done | inside, floor, count + 1

    state = (best, ~is_random, jnp.zeros_like(total), jnp.uint32(0))
    for _ in range(draws):
        state = attempt(state)
    return jax.lax.while_loop(is_unfinished, attempt, state)[0]


def _draw(weights: Float[Array, "B V"], keys: Key[Array, "B"]) -> Int[Array, "B"]:
    """An index a row in proportion to weights: a chunk first, then a token of it."""
    B, V = weights.shape
    chunks = jnp.pad(weights, ((0, 0), (0, -V % _CHUNK))).reshape(B, -1, _CHUNK)
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys)
    chunk = _invert(chunks.sum(axis=-1), uniform[:, 0])
    inside = jnp.take_along_axis(chunks, chunk[:, None, None], axis=1)[:, 0]
    return jnp.minimum(chunk * _CHUNK + _invert(inside, uniform[:, 1]), V - 1)


def _invert(weights: Float[Array, "B C"], uniform: Float[Array, "B"]) -> Int[Array, "B"]:
    """The first index whose cumulative weight exceeds uniform × total."""
    sums = jnp.cumsum(weights, axis=-1)
    above = sums > (uniform * sums[:, -1])[:, None]
    return jnp.argmax(above, axis=-1).astype(jnp.int32)
