"""The decoder by relations: cached = uncached, scanned = unrolled, packed = unpacked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax.model import DecoderConfig, abstract_params, forward, init, unembed
from codex_jax.model.attention.core import dot_product, packed_attention

LLAMA = {
    "norm": "rmsnorm",
    "positions": "rotary",
    "activation": "swiglu",
    "bias": False,
    "qkv_bias": True,
    "kv_heads": 2,
    "tied": False,
}
FAMILIES = {"gpt3": {}, "llama": LLAMA}


@pytest.fixture(params=FAMILIES)
def decoder(request):
    config = DecoderConfig(
        vocab_size=90, layers=3, width=32, heads=4, max_length=32, **FAMILIES[request.param]
    )
    params = jax.jit(init, static_argnums=0)(config, jax.random.key(0))
    # Weights large enough that every path matters: fresh ones are nearly the identity.
    return config, jax.tree.map(lambda p: p * 5 + 0.01, params)


def rows(length=12, batch=2):
    tokens = jax.random.randint(jax.random.key(1), (batch, length), 0, 90)
    return tokens, jnp.broadcast_to(jnp.arange(length), tokens.shape)


def decode_rows(config, params, tokens, positions, **options):
    attend = packed_attention(jnp.ones_like(tokens))
    return forward(config, params, tokens, positions, attend, **options)[0]


def test_shapes_and_axes_are_known_without_memory(decoder):
    config, params = decoder
    shapes, axes = abstract_params(config)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(lambda s: s.shape, shapes)
    is_axes = lambda leaf: isinstance(leaf, tuple)  # noqa: E731
    ranks = jax.tree.map(len, axes, is_leaf=is_axes)
    assert ranks == jax.tree.map(lambda p: p.ndim, params)


def test_logits_leave_the_padding_of_the_vocabulary_out(decoder):
    config, params = decoder
    assert params["embedding"].shape[0] == 128
    hidden = decode_rows(config, params, *rows())
    assert unembed(config, params, hidden).shape == (2, 12, 90)


def test_scanned_equals_unrolled(decoder):
    config, params = decoder
    scanned = decode_rows(config, params, *rows())
    np.testing.assert_allclose(scanned, decode_rows(config, params, *rows(), scan=False), atol=1e-4)


def attend_to_cache(start):
    """An `attend` that writes keys and values (L, B, S, K, H) from `start` on, and reads all."""

    def attend(q, k, v, cache, layer, window=0):
        slots = start + jnp.arange(q.shape[1])
        keys, values = (
            old.at[layer, :, slots].set(new.swapaxes(0, 1))
            for old, new in zip(cache, (k, v), strict=True)
        )
        distance = slots[:, None] - jnp.arange(keys.shape[2])
        mask = (distance >= 0) & (distance < (window or keys.shape[2]))
        mask = jnp.broadcast_to(mask, (len(q), *mask.shape))
        return dot_product(q, keys[layer], values[layer], mask), (keys, values)

    return attend


def test_cached_equals_uncached(decoder):
    config, params = decoder
    tokens, positions = rows()
    shape = (config.layers, 2, 16, config.kv_heads, config.head_size)
    cache, pieces = (jnp.zeros(shape), jnp.zeros(shape)), []
    for start, stop in [(0, 5), (5, 6), (6, 12)]:
        piece = slice(start, stop)
        hidden, cache = forward(
            config,
            params,
            tokens[:, piece],
            positions[:, piece],
            attend_to_cache(start),
            cache,
        )
        pieces.append(hidden)
    at_once = decode_rows(config, params, tokens, positions)
    np.testing.assert_allclose(jnp.concatenate(pieces, axis=1), at_once, atol=1e-4)


def test_packed_equals_unpacked(decoder):
    config, params = decoder
    tokens, positions = rows(batch=1)
    alone = [
        decode_rows(config, params, tokens[:, piece], positions[:, : piece.stop - piece.start])
        for piece in (slice(0, 7), slice(7, 12))
    ]
    segments = jnp.array([[1] * 7 + [2] * 5])
    packed_positions = jnp.array([[*range(7), *range(5)]])
    packed, _ = forward(config, params, tokens, packed_positions, packed_attention(segments))
    np.testing.assert_allclose(packed, jnp.concatenate(alone, axis=1), atol=1e-4)


def test_a_token_never_sees_later_ones(decoder):
    config, params = decoder
    tokens, positions = rows()
    changed = decode_rows(config, params, tokens.at[:, 8].add(1) % 90, positions)
    before = decode_rows(config, params, tokens, positions)
    np.testing.assert_allclose(changed[:, :8], before[:, :8], atol=1e-5)
    assert jnp.abs(changed[:, 8:] - before[:, 8:]).max() > 1e-3


def test_bf16_is_close_to_f32(decoder):
    config, params = decoder
    exact = decode_rows(config, params, *rows())
    rough = decode_rows(config, params, *rows(), dtype=jnp.bfloat16)
    assert rough.dtype == jnp.bfloat16
    error = jnp.linalg.norm(rough.astype(jnp.float32) - exact) / jnp.linalg.norm(exact)
    assert error < 0.05
