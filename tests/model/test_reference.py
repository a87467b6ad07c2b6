"""Every family's decoder against one written in numpy, and derivatives against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax.model import DecoderConfig, forward, init, unembed
from codex_jax.model.attention.core import packed_attention
from tests.model import reference

ROTARY = {"positions": "rotary", "norm": "rmsnorm", "bias": False}
FAMILIES = {
    "gpt2": {},
    "gpt2-untied": {"tied": False, "activation": "gelu_exact"},
    "quick-gelu": {"activation": "quick_gelu"},
    "llama": {**ROTARY, "activation": "swiglu", "kv_heads": 2, "tied": False},
    "llama-biases": {**ROTARY, "activation": "swiglu", "qkv_bias": True, "mlp_bias": True},
    "llama-scaled": {**ROTARY, "activation": "swiglu", "rotary_scaling": "linear"},
    "mistral": {**ROTARY, "activation": "swiglu", "kv_heads": 1, "window": 3},
    "qwen2": {**ROTARY, "activation": "swiglu", "qkv_bias": True, "kv_heads": 2},
    "qwen3": {**ROTARY, "activation": "swiglu", "qk_norm": True, "head_size": 16},
    "gemma": {**ROTARY, "activation": "geglu", "head_size": 12},
    "geglu-exact": {**ROTARY, "activation": "geglu_exact", "out_bias": True},
    "neox": {"positions": "rotary", "residual": "parallel", "rotary_size": 4, "tied": False},
    "gptj": {
        "positions": "rotary",
        "residual": "shared",
        "rotary_size": 4,
        "bias": False,
        "mlp_bias": True,
        "tied": False,
        "unembedding_bias": True,
    },
}


@pytest.fixture(params=FAMILIES)
def decoder(request):
    """(config, parameters that are all random, biases and scales too)."""
    config = DecoderConfig(
        vocab_size=50,
        layers=2,
        width=32,
        heads=4,
        max_length=16,
        rotary_factor=2.0,
        vocab_multiple=8,
        **FAMILIES[request.param],
    )
    leaves, tree = jax.tree.flatten(init(config, jax.random.key(0)))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noise = [0.3 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return config, jax.tree.unflatten(tree, [x * 3 + n for x, n in zip(leaves, noise, strict=True)])


def compute_logits(config, params, tokens, dtype=jnp.float32):
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    attend = packed_attention(jnp.ones_like(tokens))
    hidden, _ = forward(config, params, tokens, positions, attend, dtype=dtype)
    return unembed(config, params, hidden)


def test_logits_are_those_of_the_numpy_decoder(decoder):
    config, params = decoder
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (2, 9))
    expected = [
        reference.logits(config, jax.tree.map(lambda x: np.asarray(x, np.float64), params), row)
        for row in tokens
    ]
    actual = compute_logits(config, params, jnp.asarray(tokens))
    np.testing.assert_allclose(actual, np.stack(expected), rtol=2e-4, atol=2e-4)


def reference_loss(config, params, tokens):
    """Mean negative log-probability of the next tokens of a row, in f64."""
    logits = reference.logits(config, params, tokens[:-1])
    top = logits.max(axis=-1, keepdims=True)
    log_probs = logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
    return -log_probs[np.arange(len(tokens) - 1), tokens[1:]].mean()


def test_the_gradient_is_the_slope_of_the_numpy_loss(decoder):
    config, params = decoder
    tokens = np.random.default_rng(2).integers(0, config.vocab_size, 6)
    ids = jnp.asarray(tokens)

    @jax.jit
    def gradient(params):
        def loss(params):
            log_probs = jax.nn.log_softmax(compute_logits(config, params, ids[None, :-1]))[0]
            return -jnp.take_along_axis(log_probs, ids[1:, None], axis=-1).mean()

        return jax.grad(loss)(params)

    rng = np.random.default_rng(3)
    exact = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    direction = jax.tree.map(lambda x: rng.standard_normal(x.shape), exact)
    step = 1e-6
    ahead, behind = (
        reference_loss(
            config, jax.tree.map(lambda x, d, s=sign: x + s * step * d, exact, direction), tokens
        )
        for sign in (1, -1)
    )
    products = jax.tree.map(lambda g, d: np.vdot(np.asarray(g), d), gradient(params), direction)
    np.testing.assert_allclose(
        sum(jax.tree.leaves(products)), (ahead - behind) / (2 * step), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("decoder", ["gpt2", "mistral"], indirect=True)
def test_a_window_hides_what_lies_before_it(decoder):
    config, params = decoder
    tokens = jax.random.randint(jax.random.key(4), (1, 9), 0, config.vocab_size)
    changed = tokens.at[0, 0].set((tokens[0, 0] + 1) % config.vocab_size)
    difference = jnp.abs(
        compute_logits(config, params, tokens) - compute_logits(config, params, changed)
    ).max(axis=-1)[0]
    reach = 1 + config.layers * (config.window - 1) if config.window else 9
    assert (difference[:reach] > 0).all()
    np.testing.assert_array_equal(difference[reach:], 0)
