"""A prompt's keys and values, computed once and made resident; its own log-probabilities too."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from codex_jax import model
from codex_jax.model.quantization import Int8
from codex_jax.sample.engine import prefix_attention
from codex_jax.sample.engine.state import TOP, State
from codex_jax.sample.sampling.params import logprob

_SCORED = 64  # positions of a prompt whose logits are held at a time


class Scores(NamedTuple):
    """Of a prompt's tokens, each given those before it; of the first there is nothing to say."""

    logprobs: Float[Array, "T-1"]
    top: Int[Array, "T-1 5"]
    top_logprobs: Float[Array, "T-1 5"]


def _forward(config, params, tokens, length, dtype, cache):
    """(hidden states, keys and values) of one prompt, right-padded.

    It attends to them as they are kept, so that its samples do so from the first token on.
    """
    positions = jnp.arange(tokens.shape[1])[None]
    attend = model.attention.core.packed_attention((positions < length).astype(jnp.int32))

    def keeping(q, k, v, _, layer):
        kept = [prefix_attention.kept(x, jnp.dtype(cache)) for x in (k, v)]
        read = [
            x.dequantize(-1, q.dtype) if isinstance(x, Int8) else x.astype(q.dtype) for x in kept
        ]
        out, _ = attend(q, *read, None, layer)
        keys = jax.tree.map(lambda x: jnp.moveaxis(x[0], 0, -1), kept[0])
        return out, (keys, jax.tree.map(lambda x: x[0].swapaxes(0, 1), kept[1]))

    return model.forward(
        config,
        params,
        tokens,
        positions,
        keeping,
        [None] * config.layers,
        dtype=jnp.dtype(dtype),
        wrap_block=prefix_attention.traced_once,
        scan=False,
    )


@functools.partial(jax.jit, static_argnames=("config", "dtype", "cache"))
def prefill(
    config, params, tokens: Int[Array, "1 T"], length: Int[Array, ""], *, dtype: str, cache: str
):
    """Keys (K, H, T) and values (K, T, H) of one prompt, right-padded to a bucket, by layer.

    A prompt is prefilled alone, in a bucket that its own length chooses, so that its cache
    depends on nothing else.
    """
    return _forward(config, params, tokens, length, dtype, cache)[1]


@functools.partial(jax.jit, static_argnames=("config", "dtype", "cache"))
def score(
    config, params, tokens: Int[Array, "1 T"], length: Int[Array, ""], *, dtype: str, cache: str
):
    """`Scores` of one prompt, right-padded to a bucket; what stands behind its length is noise."""
    hidden, _ = _forward(config, params, tokens, length, dtype, cache)

    def of_some(inputs):
        hidden, following = inputs
        logits = model.unembed(config, params, hidden)
        best, top = jax.lax.top_k(logits, TOP)
        total = jax.nn.logsumexp(logits, axis=-1, keepdims=True)
        return Scores(logprob(logits, following), top, best - total)

    following = jnp.roll(tokens[0], -1)
    parts = (hidden[0].reshape(-1, _SCORED, hidden.shape[-1]), following.reshape(-1, _SCORED))
    scores = jax.lax.map(of_some, parts)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), scores)


def admit(state: State, place, keys_and_values, length, last, prompt_hash) -> State:
    """Makes a prefilled prompt resident at `place`."""
    prompts = state.prompts

    def put(blocks, new, axis):
        def part(block, new, first, last):
            new = jax.lax.slice_in_dim(new[None], first, last, axis=min(axis, block.ndim - 1))
            return jax.lax.dynamic_update_slice_in_dim(block, new, place, axis=0)

        borders = prefix_attention.borders(new.shape[axis - 1])
        here = [
            jax.tree.map(functools.partial(part, first=first, last=last), block, new)
            for block, (first, last) in zip(blocks, borders, strict=False)
        ]
        return (*here, *blocks[len(here) :])

    cache = tuple(
        prefix_attention.Layer(put(old.k, keys, axis=3), put(old.v, values, axis=2))
        for old, (keys, values) in zip(prompts.cache, keys_and_values, strict=True)
    )
    prompts = prompts._replace(
        cache=cache,
        length=prompts.length.at[place].set(length),
        last=prompts.last.at[place].set(last),
        hash=prompts.hash.at[place].set(prompt_hash),
    )
    return state._replace(prompts=prompts)
