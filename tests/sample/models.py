"""Small models to sample from: random ones, and one whose next token is this token + 1."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from codex_jax import model, sharding
from codex_jax.sample.engine import engine, shardings
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.requests import Request

V = 64
CONFIG = model.DecoderConfig(
    vocab_size=V, layers=2, width=32, heads=4, kv_heads=2, max_length=512, vocab_multiple=1
)
ROTARY = model.DecoderConfig(
    vocab_size=V,
    layers=2,
    width=32,
    heads=4,
    kv_heads=2,
    max_length=512,
    vocab_multiple=1,
    norm="rmsnorm",
    positions="rotary",
    activation="swiglu",
    bias=False,
)
EOS = V - 1
TOKEN_BYTES = [bytes([n]) for n in range(V)]
PROMPTS = [[3, 5, 7], [11], list(range(40)) * 2, list(range(30, 60)), [2] * 64, [2] * 65]


@functools.cache
def random_params(config=CONFIG):
    params = jax.jit(model.init, static_argnums=0)(config, jax.random.key(1))
    return jax.tree.map(lambda leaf: leaf * 2, params)  # not quite uniform


def counting_model():
    """A model with one-hot embeddings, blocks that add nothing, an unembedding shifted by one."""
    config = model.DecoderConfig(
        vocab_size=V, layers=1, width=V, heads=1, max_length=512, tied=False, vocab_multiple=1
    )
    shapes, _ = model.abstract_params(config)
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    params["norm"]["scale"] = jnp.ones(V)
    params["embedding"] = jnp.eye(V)
    params["unembedding"] = jnp.roll(jnp.eye(V), 1, axis=1) * 50
    return config, params


def start_engine(
    config, params, *, devices=1, mesh=None, stop_states=64, token_bytes=TOKEN_BYTES, **sizes
):
    """An engine on the first devices."""
    sizes = {
        "max_prompt_tokens": 200,
        "samples_per_prompt": 4,
        "rows": 16,
        "max_new_tokens": 24,
    } | sizes
    shape = plan(**sizes)
    mesh = sharding.make_mesh(mesh or sharding.MeshShape(), jax.devices()[:devices])
    params = jax.device_put(
        params, jax.tree.map(lambda s: s.sharding, shardings.params_shapes(config, mesh))
    )
    return engine.Engine(
        config,
        params,
        shape,
        token_bytes=token_bytes,
        eos_ids=[EOS],
        mesh=mesh,
        stop_states=stop_states,
    )


def requests(prompts=PROMPTS, n=4, **fields):
    """A request a prompt, its id the prompt's index."""
    return [Request(str(i), tokens, range(n), **fields) for i, tokens in enumerate(prompts)]


def collect(samples):
    return {(s.request_id, s.sample_index): s for s in samples}


def teacher_forced(config, params, tokens):
    """Log-softmax of every position, all at once and without any cache."""
    tokens = jnp.asarray(tokens)[None]
    attend = model.attention.core.packed_attention(jnp.ones_like(tokens))
    positions = jnp.arange(tokens.shape[1])[None]
    hidden, _ = model.forward(config, params, tokens, positions, attend)
    return np.asarray(jax.nn.log_softmax(model.unembed(config, params, hidden)[0]))


def assert_same(a, b) -> None:
    """Samples by key, bit for bit."""
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key].tokens, b[key].tokens)
        np.testing.assert_array_equal(a[key].logprobs, b[key].logprobs)
        assert a[key].finish_reason == b[key].finish_reason
