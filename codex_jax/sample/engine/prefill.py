"""A prompt's keys and values, computed once and made resident; its log-probabilities on request."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer

from codex_jax import model
from codex_jax.model.attention.core import packed_attention
from codex_jax.model.quantization import Int8
from codex_jax.sample.engine import flat_cache, kv_cache, prefix_attention
from codex_jax.sample.engine.state import TOP_LOGPROBS, State
from codex_jax.sample.sampling.draw import logprob

_CHUNK = 64  # positions of a prompt whose logits are in memory at a time


class PromptScores(NamedTuple):
    """Scores of each position's next token; those at the prompt's end and behind it are noise."""

    logprobs: Float[Array, "T"]
    top_tokens: Int[Array, "T 5"]
    top_logprobs: Float[Array, "T 5"]


def _forward(
    config: model.DecoderConfig,
    params: model.Params,
    tokens: Int[Array, "1 T"],
    length: Int[Array, ""],
    dtype: str,
    cache_dtype: str,
) -> tuple[Float[Array, "1 T D"], Any]:
    """(hidden states, keys and values) of one prompt, right-padded.

    It attends to keys and values as the cache stores them, as its samples will.
    """
    positions = jnp.arange(tokens.shape[1])[None]
    attend = packed_attention((positions < length).astype(jnp.int32))
    return model.forward(
        config,
        params,
        tokens,
        positions,
        functools.partial(_attend_as_cached, attend, cache_dtype),
        [None] * config.layers,
        dtype=jnp.dtype(dtype),
        wrap_block=prefix_attention.share_layer_trace,
        scan=False,
    )


def _attend_as_cached(attend: Callable[..., Any], cache_dtype: str, q, k, v, _, layer, **window):
    cached = [kv_cache.to_cache_dtype(x, jnp.dtype(cache_dtype)) for x in (k, v)]
    read = [x.dequantize(-1, q.dtype) if isinstance(x, Int8) else x.astype(q.dtype) for x in cached]
    out, _ = attend(q, *read, None, layer, **window)
    keys = jax.tree.map(lambda x: jnp.moveaxis(x[0], 0, -1), cached[0])
    return out, (keys, jax.tree.map(lambda x: x[0].swapaxes(0, 1), cached[1]))


@functools.partial(jax.jit, static_argnames=("config", "dtype", "cache_dtype"))
def prefill(
    config: model.DecoderConfig,
    params: model.Params,
    tokens: Int[Array, "1 T"],
    length: Int[Array, ""],
    *,
    dtype: str,
    cache_dtype: str,
) -> Any:
    """Keys (K, H, T) and values (K, T, H) of one prompt, right-padded to a bucket, by layer.

    A prompt is prefilled alone, in a bucket that its own length determines, so that its cache
    depends on nothing else.
    """
    return _forward(config, params, tokens, length, dtype, cache_dtype)[1]


@functools.partial(jax.jit, static_argnames=("config", "dtype", "cache_dtype"))
def score_prompt(
    config: model.DecoderConfig,
    params: model.Params,
    tokens: Int[Array, "1 T"],
    length: Int[Array, ""],
    *,
    dtype: str,
    cache_dtype: str,
) -> PromptScores:
    """Log-probabilities of one prompt's tokens, right-padded to a bucket."""
    hidden, _ = _forward(config, params, tokens, length, dtype, cache_dtype)

    def score_chunk(inputs):
        hidden, next_tokens = inputs
        logits = model.unembed(config, params, hidden)
        best, top = jax.lax.top_k(logits, TOP_LOGPROBS)
        total = jax.nn.logsumexp(logits, axis=-1, keepdims=True)
        return PromptScores(logprob(logits, next_tokens), top, best - total)

    next_tokens = jnp.roll(tokens[0], -1)
    chunks = (hidden[0].reshape(-1, _CHUNK, hidden.shape[-1]), next_tokens.reshape(-1, _CHUNK))
    scores = jax.lax.map(score_chunk, chunks)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), scores)


def insert_prompt(
    state: State,
    slot: Int[Array, ""],
    keys_and_values: Any,
    length: Int[Array, ""],
    last: Int[Array, ""],
    prompt_hash: Integer[Array, ""],
) -> State:
    """Makes a prefilled prompt resident in a prompt slot.

    Args:
      state: Donated.
      slot: Index of the prompt slot.
      keys_and_values: `prefill`'s result.
      length: Tokens in the cache: all but the last.
      last: The last token, which the rows begin with.
      prompt_hash: `requests.hash_prompt`.
    """
    prompts = state.prompts

    def write(layer, keys, values):
        if isinstance(layer, flat_cache.FlatLayer):
            return flat_cache.write_prompt(layer, slot, keys, values)
        return kv_cache.Layer(
            kv_cache.write_prompt(layer.k, slot, keys, axis=3),
            kv_cache.write_prompt(layer.v, slot, values, axis=2),
        )

    cache = tuple(
        write(layer, keys, values)
        for layer, (keys, values) in zip(prompts.cache, keys_and_values, strict=True)
    )
    prompts = prompts._replace(
        cache=cache,
        length=prompts.length.at[slot].set(length),
        last=prompts.last.at[slot].set(last),
        hash=prompts.hash.at[slot].set(prompt_hash),
    )
    return state._replace(prompts=prompts)
