"""From logits to a token: temperature, top-k, min-p, top-p, exactly, without sorting.

The nucleus is closed upwards: a token belongs to it if and only if the tokens likelier than it
weigh less than top_p. So a token is drawn from all that are left, one pass says whether it belongs,
and where it doesn't, it and all that are less likely are struck out and the draw repeated. That is
sampling by rejection: exact, and at top_p = 0.95 about one draw a token.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from codex_jax import InputError

MOST_BIASED = 300  # tokens that a logit_bias may name, as OpenAI's

_CHUNK = 128  # tokens of the vocabulary that one cumulative weight stands for


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """How a token is drawn: penalties and bias on the logits, then temperature and filters.

    Args:
      temperature: Divides the logits; 0 takes the likeliest token.
      top_k: Keep the k likeliest tokens (ties stay); 0 keeps all.
      min_p: Keep tokens at least this fraction as likely as the likeliest.
      top_p: Keep the fewest likeliest tokens that together weigh this much.
      presence_penalty: Taken off the logit of each token that the sample holds already.
      frequency_penalty: Taken off as often as the sample holds it.
      logit_bias: Added to the logits of the tokens it names.
    """

    temperature: float = 0.8
    top_k: int = 0
    min_p: float = 0.0
    top_p: float = 0.95
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] | None = None

    def __post_init__(self):
        for name, low, high in (
            ("temperature", 0, 100),
            ("top_k", 0, 1 << 20),
            ("min_p", 0, 1),
            ("top_p", 0, 1),
            ("presence_penalty", -2, 2),
            ("frequency_penalty", -2, 2),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"Policy.{name} is {value}; expected {low} to {high}")
        if self.top_p == 0:
            raise InputError("Policy.top_p is 0; expected above 0 (temperature 0 is greedy)")
        if len(self.logit_bias or ()) > MOST_BIASED:
            raise InputError(
                f"Policy.logit_bias names {len(self.logit_bias)} tokens; expected at most "
                f"{MOST_BIASED}"
            )

    @property
    def adjusts(self) -> bool:
        """Whether it changes logits before they are drawn from."""
        return bool(self.presence_penalty or self.frequency_penalty or self.logit_bias)


class Knobs(NamedTuple):
    """What a draw needs to know, a row; changing it compiles nothing."""

    temperature: Float[Array, "B"]
    top_k: Int[Array, "B"]
    min_p: Float[Array, "B"]
    top_p: Float[Array, "B"]


class Adjustments(NamedTuple):
    """Penalties and biases, a row."""

    presence: Float[Array, "B"]
    frequency: Float[Array, "B"]
    token: Int[Array, "B M"]  # out of the vocabulary where nothing is biased
    bias: Float[Array, "B M"]


def no_adjustments(slots: int, vocabulary: int) -> Adjustments:
    """None, in arrays for the host to write into."""
    penalties = np.zeros((2, slots), np.float32)
    tokens = np.full((slots, MOST_BIASED), vocabulary, np.int32)
    return Adjustments(*penalties, tokens, np.zeros(tokens.shape, np.float32))


def sample_key(
    seed: Int[Array, "B"],
    prompt: Int[Array, "B"],
    sample: Int[Array, "B"],
    position: Int[Array, "B"],
) -> Array:
    """One threefry key a row, of (seed, prompt hash, sample index, position) and nothing else."""

    def one(seed, *numbers):
        key = jax.random.key(seed, impl="threefry2x32")
        for number in numbers:
            key = jax.random.fold_in(key, number)
        return key

    return jax.vmap(one)(seed, prompt, sample, position)


def adjust(
    logits: Float[Array, "B V"],
    said: Int[Array, "B T"],
    valid: Bool[Array, "B T"],
    wanted: Adjustments,
) -> Float[Array, "B V"]:
    """Logits after penalties for what was said (where valid) and biases."""
    rows = jnp.arange(len(logits))[:, None]
    at = rows, jnp.where(valid, said, logits.shape[1])
    counts = jnp.zeros_like(logits).at[at].add(1.0, mode="drop")
    logits = logits - wanted.frequency[:, None] * counts
    logits = logits - wanted.presence[:, None] * (counts > 0)
    return logits.at[rows, wanted.token].add(wanted.bias, mode="drop")


def choose(logits: Float[Array, "B V"], keys: Array, knobs: Knobs) -> Int[Array, "B"]:
    """A token a row."""
    drawn = knobs.temperature > 0
    best = jax.lax.cond(
        drawn.all(),
        lambda: jnp.zeros(len(logits), jnp.int32),
        lambda: jnp.argmax(logits, axis=-1).astype(jnp.int32),
    )
    return _draw_nucleus(_weights(logits, knobs), best, keys, knobs.top_p, drawn)


def logprob(logits: Float[Array, "B V"], tokens: Int[Array, "B"]) -> Float[Array, "B"]:
    """Log-probabilities of tokens, in nats."""
    chosen = jnp.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def _weights(logits: Float[Array, "B V"], knobs: Knobs) -> Float[Array, "B V"]:
    """exp(logit/T) over the largest, 0 where top-k or min-p strike out."""
    peak = logits.max(axis=-1, keepdims=True)
    heat = jnp.where(knobs.temperature > 0, knobs.temperature, 1.0)[:, None]
    weights = jnp.exp((logits - peak) / heat)
    least = jax.lax.cond(
        (knobs.top_k > 0).any(),
        lambda: _kth_largest(weights, knobs.top_k),
        lambda: jnp.zeros_like(knobs.min_p),
    )
    return jnp.where(weights >= jnp.maximum(least, knobs.min_p)[:, None], weights, 0.0)


def _kth_largest(weights: Float[Array, "B V"], k: Int[Array, "B"]) -> Float[Array, "B"]:
    """The largest number that at least k weights of a row reach, by halving its bits; 0 for k = 0.

    Floats of one sign are in the order of their bits.
    """
    k = jnp.where(k > 0, jnp.minimum(k, weights.shape[1]), weights.shape[1])

    def halve(n, least):
        tried = least | (jnp.int32(1) << (30 - n))
        reached = weights >= jax.lax.bitcast_convert_type(tried, jnp.float32)[:, None]
        return jnp.where(reached.sum(axis=-1) >= k, tried, least)

    least = jax.lax.fori_loop(0, 31, halve, jnp.zeros_like(k))
    return jax.lax.bitcast_convert_type(least, jnp.float32)


def _draw_nucleus(weights, best, keys, top_p, drawn) -> Int[Array, "B"]:
    """Tokens drawn in proportion to weights, from the nucleus; `best` where not `drawn`."""
    total = weights.sum(axis=-1)

    def unfinished(state):
        return ~state[1].all()

    def attempt(state):
        tokens, done, floor, count = state
        left = jnp.where(weights > floor[:, None], weights, 0.0)
        tried = _draw(left, jax.vmap(jax.random.fold_in, (0, None))(keys, count))
        weight = jnp.take_along_axis(weights, tried[:, None], axis=-1)
        above = jnp.where(weights > weight, weights, 0.0).sum(axis=-1)
        weight = weight[:, 0]
        inside = (above < top_p * total) | (above == 0) | (top_p >= 1)
        inside &= weight > floor
        tokens = jnp.where(inside & ~done, tried, tokens)
        floor = jnp.where(done | inside, floor, jnp.maximum(floor, weight))
        return tokens, done | inside, floor, count + 1

    state = (best, ~drawn, jnp.zeros_like(total), jnp.uint32(0))
    return jax.lax.while_loop(unfinished, attempt, state)[0]


def _draw(weights: Float[Array, "B V"], keys: Array) -> Int[Array, "B"]:
    """One index a row in proportion to weights, by inverting sums of chunks, then of tokens."""
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
