"""From logits to a token: temperature, top-k, min-p, top-p, exactly, without sorting.

The nucleus is closed upwards: a token belongs to it if and only if the tokens likelier than it
weigh less than top_p. So a token is drawn from all that are left, one pass says whether it belongs,
and where it doesn't, it and all that are less likely are struck out and the draw repeated. That is
sampling by rejection: exact, and at top_p = 0.95 about one draw a token.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from codex_jax import InputError

_CHUNK = 128  # tokens of the vocabulary that one cumulative weight stands for


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """How a token is drawn; filters act in this order, on logits over temperature.

    Args:
      temperature: Divides the logits; 0 takes the likeliest token.
      top_k: Keep the k likeliest tokens (ties stay); 0 keeps all.
      min_p: Keep tokens at least this fraction as likely as the likeliest.
      top_p: Keep the fewest likeliest tokens that together weigh this much.
    """

    temperature: float = 0.8
    top_k: int = 0
    min_p: float = 0.0
    top_p: float = 0.95

    def __post_init__(self):
        for name, low, high in (
            ("temperature", 0, 100),
            ("top_k", 0, 1 << 20),
            ("min_p", 0, 1),
            ("top_p", 0, 1),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"Policy.{name} is {value}; expected {low} to {high}")
        if self.top_p == 0:
            raise InputError("Policy.top_p is 0; expected above 0 (temperature 0 is greedy)")

    def arrays(self) -> "Knobs":
        """The numbers that a compiled loop takes as arguments, so that changing them is free."""
        return Knobs(*map(jnp.float32, (self.temperature, self.min_p, self.top_p)))


class Knobs(NamedTuple):
    """A policy's numbers on the device."""

    temperature: Float[Array, ""]
    min_p: Float[Array, ""]
    top_p: Float[Array, ""]


def sample_key(
    seed: Int[Array, ""],
    prompt: Int[Array, "B"],
    sample: Int[Array, "B"],
    position: Int[Array, "B"],
) -> Array:
    """One threefry key a row, of (seed, prompt hash, sample index, position) and nothing else."""

    def one(prompt, sample, position):
        key = jax.random.key(seed, impl="threefry2x32")
        for number in (prompt, sample, position):
            key = jax.random.fold_in(key, number)
        return key

    return jax.vmap(one)(prompt, sample, position)


def choose(
    logits: Float[Array, "B V"], keys: Array, knobs: Knobs, *, top_k: int = 0
) -> tuple[Int[Array, "B"], Float[Array, "B"]]:
    """(tokens, their log-probabilities under the raw distribution: no temperature, no filter)."""
    logits = logits.astype(jnp.float32)
    best = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    weights = _weights(logits, knobs, top_k)
    tokens = _draw_nucleus(weights, best, keys, knobs.top_p, knobs.temperature > 0)
    chosen = jnp.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
    return tokens, chosen - jax.nn.logsumexp(logits, axis=-1)


def _weights(logits: Float[Array, "B V"], knobs: Knobs, top_k: int) -> Float[Array, "B V"]:
    """exp(logit/T) over the largest, 0 where top-k or min-p strike out."""
    peak = logits.max(axis=-1, keepdims=True)
    weights = jnp.exp((logits - peak) / jnp.where(knobs.temperature > 0, knobs.temperature, 1.0))
    if 0 < top_k < logits.shape[-1]:
        least = jax.lax.top_k(weights, top_k)[0][:, -1:]
        weights = jnp.where(weights >= least, weights, 0.0)
    return jnp.where(weights >= knobs.min_p, weights, 0.0)


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

    state = (best, jnp.broadcast_to(~drawn, best.shape), jnp.zeros_like(total), jnp.uint32(0))
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
