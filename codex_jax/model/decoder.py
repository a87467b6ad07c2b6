"""The decoder: tokens to hidden states to logits.

Axis glossary, the letters of every einsum and signature:

    B batch    T query time    S key time    D model width    N query heads    K key/value heads
    H head size    F mlp size    V vocabulary    L layers    G query heads per key head (N / K)

Each weight states its shape, logical axes and initializer on one line; `sharding` maps the
logical axes onto a mesh. Modules exist only under eval_shape or jit: outside, a decoder is its
config and a nested dict of arrays.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from codex_jax.model.attention.core import Attend, JoinedAttend, rotary, rotary_angles
from codex_jax.model.config import DecoderConfig
from codex_jax.model.quantization import embed_lookup, quantized_einsum
from codex_jax.model.rotary_scaling import rotary_divisors

Params = dict[str, Any]

_STDDEV = 0.02  # GPT-2's; the projections back into the residual stream get 1/√(2L) of it


def _weight(rngs: nnx.Rngs, shape, axes, *, stddev: float = _STDDEV) -> nnx.Param:
    return nnx.Param(stddev * jax.random.normal(rngs.params(), shape, jnp.float32), axes=axes)


def _constant(value: float, shape, axes) -> nnx.Param:
    return nnx.Param(jnp.full(shape, value, jnp.float32), axes=axes)


class Norm(nnx.Module):
    """LayerNorm or RMSNorm over D, computed in f32."""

    def __init__(self, config: DecoderConfig):
        self.config = config
        self.scale = _constant(1.0, (config.width,), ("norm",))
        if config.norm == "layernorm":
            self.shift = _constant(0.0, (config.width,), ("norm",))

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Normalizes x, in its dtype."""
        dtype, x = x.dtype, x.astype(jnp.float32)
        if self.config.norm == "layernorm":
            x = x - x.mean(axis=-1, keepdims=True)
        x = x * jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + self.config.norm_eps)
        x = x * self.scale.astype(jnp.float32)
        if self.config.norm == "layernorm":
            x = x + self.shift.astype(jnp.float32)
        return x.astype(dtype)


def _rms_norm(x: Float[Array, "..."], scale: Float[Array, "H"], eps: float) -> Array:
    """RMSNorm over the last axis, in f32; returns x's dtype."""
    y = x.astype(jnp.float32)
    y = y * jax.lax.rsqrt((y * y).mean(axis=-1, keepdims=True) + eps)
    return (y * scale.astype(jnp.float32)).astype(x.dtype)


def _join(q: Array, k: Array, v: Array, angles: tuple | None) -> Float[Array, "B T A H"]:
    """Rotated queries and keys, and values, A = N + 2K heads, in one pass over their product."""
    x = jnp.concatenate([q, k, v], axis=2)
    if angles is None:
        return x
    is_value = jnp.arange(x.shape[2])[:, None] >= q.shape[2] + k.shape[2]
    return jnp.where(is_value, x, rotary(x, *angles))


class Attention(nnx.Module):
    """Projections to queries, keys and values, `attend`, and the projection back."""

    def __init__(self, config: DecoderConfig, rngs: nnx.Rngs):
        c = self.config = config
        back = _STDDEV / (2 * c.layers) ** 0.5
        self.q = _weight(rngs, (c.width, c.heads, c.head_size), ("embed", "heads", "head"))
        self.k = _weight(rngs, (c.width, c.kv_heads, c.head_size), ("embed", "kv_heads", "head"))
        self.v = _weight(rngs, (c.width, c.kv_heads, c.head_size), ("embed", "kv_heads", "head"))
        self.out = _weight(
            rngs, (c.heads, c.head_size, c.width), ("heads", "head", "embed"), stddev=back
        )
        if c.qk_norm:
            self.q_scale = _constant(1.0, (c.head_size,), ("norm",))
            self.k_scale = _constant(1.0, (c.head_size,), ("norm",))
        if c.bias or c.qkv_bias:
            self.q_bias = _constant(0.0, (c.heads, c.head_size), ("heads", "head"))
            self.k_bias = _constant(0.0, (c.kv_heads, c.head_size), ("kv_heads", "head"))
            self.v_bias = _constant(0.0, (c.kv_heads, c.head_size), ("kv_heads", "head"))
        if c.bias or c.out_bias:
            self.out_bias = _constant(0.0, (c.width,), ("norm",))

    def __call__(self, x: Float[Array, "B T D"], angles, attend: Attend, cache, layer):
        """(output, cache) of a layer's attention."""
        q = quantized_einsum("BTD,DNH->BTNH", x, self.q.get_value())
        k = quantized_einsum("BTD,DKH->BTKH", x, self.k.get_value())
        v = quantized_einsum("BTD,DKH->BTKH", x, self.v.get_value())
        if self.config.bias or self.config.qkv_bias:
            q = q + self.q_bias.astype(x.dtype)
            k = k + self.k_bias.astype(x.dtype)
            v = v + self.v_bias.astype(x.dtype)
        if self.config.qk_norm:
            q = _rms_norm(q, self.q_scale.get_value(), self.config.norm_eps)
            k = _rms_norm(k, self.k_scale.get_value(), self.config.norm_eps)
        if isinstance(attend, JoinedAttend):
            out, cache = attend(_join(q, k, v, angles), q.shape[2], cache)
        else:
            if angles is not None:
                q, k = rotary(q, *angles), rotary(k, *angles)
            if self.config.window:
                attend = functools.partial(attend, window=self.config.window)
            out, cache = attend(q, k, v, cache, layer)
        # A is N: einsum sums in the order of the alphabet, and H before N copies weights on a CPU.
        y = quantized_einsum("BTAH,AHD->BTD", out, self.out.get_value())
        has_bias = self.config.bias or self.config.out_bias
        return (y + self.out_bias.astype(x.dtype) if has_bias else y), cache


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": functools.partial(jax.nn.gelu, approximate=True),
    "gelu_exact": functools.partial(jax.nn.gelu, approximate=False),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "swiglu": jax.nn.silu,
    "geglu": functools.partial(jax.nn.gelu, approximate=True),
    "geglu_exact": functools.partial(jax.nn.gelu, approximate=False),
}


class Mlp(nnx.Module):
    """MLP with GELU, or with a gate (SwiGLU, GEGLU; Shazeer 2020)."""

    def __init__(self, config: DecoderConfig, rngs: nnx.Rngs):
        c = self.config = config
        back = _STDDEV / (2 * c.layers) ** 0.5
        self.up = _weight(rngs, (c.width, c.mlp_size), ("embed", "mlp"))
        if c.is_gated:
            self.gate = _weight(rngs, (c.width, c.mlp_size), ("embed", "mlp"))
        self.down = _weight(rngs, (c.mlp_size, c.width), ("mlp", "embed"), stddev=back)
        if c.is_gated and (c.bias or c.mlp_bias):
            self.gate_bias = _constant(0.0, (c.mlp_size,), ("mlp",))
        if c.bias or c.mlp_bias:
            self.up_bias = _constant(0.0, (c.mlp_size,), ("mlp",))
            self.down_bias = _constant(0.0, (c.width,), ("norm",))

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Applies the MLP to every token."""
        has_bias = self.config.bias or self.config.mlp_bias
        up = quantized_einsum("BTD,DF->BTF", x, self.up.get_value())
        if has_bias:
            up = up + self.up_bias.astype(x.dtype)
        activation = _ACTIVATIONS[self.config.activation]
        if self.config.is_gated:
            gate = quantized_einsum("BTD,DF->BTF", x, self.gate.get_value())
            if has_bias:
                gate = gate + self.gate_bias.astype(x.dtype)
            hidden = activation(gate) * up
        else:
            hidden = activation(up)
        down = quantized_einsum("BTF,FD->BTD", hidden, self.down.get_value())
        return down + self.down_bias.astype(x.dtype) if has_bias else down


class Block(nnx.Module):
    """Pre-norm residual block; attention and MLP in sequence or in parallel."""

    def __init__(self, config: DecoderConfig, rngs: nnx.Rngs):
        self.config = config
        self.attention_norm = Norm(config)
        self.attention = Attention(config, rngs)
        if config.residual != "shared":
            self.mlp_norm = Norm(config)
        self.mlp = Mlp(config, rngs)

    def __call__(self, x: Float[Array, "B T D"], angles, attend: Attend, cache, layer):
        """(x, cache) after the block."""
        normed = self.attention_norm(x)
        y, cache = self.attention(normed, angles, attend, cache, layer)
        if self.config.residual == "sequential":
            x = x + y
            return x + self.mlp(self.mlp_norm(x)), cache
        if self.config.residual == "parallel":
            normed = self.mlp_norm(x)
        return x + y + self.mlp(normed), cache


class Decoder(nnx.Module):
    """Embedding, a stack of blocks (every leaf with a leading L), final norm, unembedding."""

    def __init__(self, config: DecoderConfig, rngs: nnx.Rngs):
        c = self.config = config
        self.embedding = _weight(rngs, (c.padded_vocab, c.width), ("vocab", "embed"))
        if c.positions == "learned":
            self.position = _weight(rngs, (c.max_length, c.width), ("position", "embed"))
        stack = nnx.vmap(lambda rngs: Block(c, rngs), in_axes=0, out_axes=0)
        self.blocks = stack(rngs.split(c.layers))
        self.norm = Norm(c)
        if not c.tied:
            self.unembedding = _weight(rngs, (c.width, c.padded_vocab), ("embed", "vocab"))
        if c.unembedding_bias:
            self.unembedding_bias = _constant(0.0, (c.padded_vocab,), ("vocab",))


def _state(config: DecoderConfig, key: Array) -> nnx.State:
    return nnx.state(Decoder(config, nnx.Rngs(params=key)), nnx.Param)


@functools.lru_cache(maxsize=64)
def _abstract_params(config: DecoderConfig) -> tuple[Params, Params]:
    state = jax.eval_shape(functools.partial(_state, config), jax.random.key(0))
    shapes, axes = {}, {}
    for path, param in nnx.to_flat_state(state):
        stacked = ("layers",) if path[0] == "blocks" else ()
        value = param.get_value()
        shapes[path] = jax.ShapeDtypeStruct(value.shape, value.dtype)
        axes[path] = (*stacked, *param.get_metadata()["axes"])
    return nnx.traversals.unflatten_mapping(shapes), nnx.traversals.unflatten_mapping(axes)


def abstract_params(config: DecoderConfig) -> tuple[Params, Params]:
    """(shapes, logical axes) of every parameter, as nested dicts of equal structure.

    Allocates no memory on any device.
    """
    return jax.tree.map(lambda x: x, _abstract_params(config))


def init(config: DecoderConfig, key: Array) -> Params:
    """Initial f32 parameters. Call it under jit with out_shardings to initialize them sharded."""
    return nnx.to_pure_dict(_state(config, key))


@functools.lru_cache(maxsize=64)
def _graphs(config: DecoderConfig):
    """Graph definitions of a block and of the final norm; nnx.split is called here only."""

    def make_modules():
        rngs = nnx.Rngs(0)
        return Block(config, rngs), Norm(config)

    return tuple(nnx.split(module) for module in nnx.eval_shape(make_modules))


def _module(graph_and_state, params: Params) -> nnx.Module:
    graph, state = graph_and_state
    state = jax.tree.map(lambda leaf: leaf, state)
    nnx.replace_by_pure_dict(state, params)
    return nnx.merge(graph, state)


def unstack_layers(blocks: Params) -> list[Params]:
    """A list with the parameters of each layer, from arrays with a leading L."""
    layers = jax.tree.leaves(blocks)[0].shape[0]
    return [jax.tree.map(lambda leaf, n=n: leaf[n], blocks) for n in range(layers)]


def _angles(config: DecoderConfig, positions: Int[Array, "B T"]):
    """The rotary angles of a config."""
    return rotary_angles(
        positions,
        config.rotary_size,
        base=config.rotary_base,
        divisors=rotary_divisors(config),
        magnitude=config.rotary_magnitude,
    )


def forward(
    config: DecoderConfig,
    params: Params,
    tokens: Int[Array, "B T"],
    positions: Int[Array, "B T"],
    attend: Attend,
    cache: Any = None,
    *,
    dtype=jnp.float32,
    wrap_block=lambda block: block,
    scan: bool = True,
    unroll: bool = False,
) -> tuple[Float[Array, "B T D"], Any]:
    """Hidden states after the final norm, and the cache that the last layer's `attend` returned.

    Args:
      config: the decoder.
      params: from `init`, in any floating dtype.
      tokens: ids.
      positions: of the tokens in their documents.
      attend: called in every layer as attend(q, k, v, cache, layer) -> (out, cache); with the
        keyword `window` too, if the config has one.
      cache: any pytree, carried through the layers; None if attend needs none.
      dtype: of the activations; weights are cast where they are used.
      wrap_block: wraps block(x, params, cache, layer) -> (x, cache), e.g. by jax.checkpoint.
      scan: run the stack as one lax.scan. Unrolled, compilation time grows with depth, and
        params["blocks"] may be a list from `unstack_layers`.
      unroll: with `scan`, run it as straight-line code, which copies no layer's values into and
        out of stacked arrays, but saves no memory by recomputation.
    """
    block_graph, norm_graph = _graphs(config)
    x = embed_lookup(params["embedding"], tokens, dtype)
    if config.positions == "learned":
        x = x + params["position"].astype(dtype)[positions]

    angles = None  # computed once for all layers
    if config.positions == "rotary":
        angles = _angles(config, positions)

    def block(x, layer_params, cache, layer):
        return _module(block_graph, layer_params)(x, angles, attend, cache, layer)

    block = wrap_block(block)
    if scan:

        def body(carry, layer_inputs):
            layer_params, layer = layer_inputs
            return block(carry[0], layer_params, carry[1], layer), None

        layers = jnp.arange(config.layers)
        (x, cache), _ = jax.lax.scan(body, (x, cache), (params["blocks"], layers), unroll=unroll)
    else:
        blocks = params["blocks"]
        layer_list = blocks if isinstance(blocks, list) else unstack_layers(blocks)
        for layer, layer_params in enumerate(layer_list):
            x, cache = block(x, layer_params, cache, layer)
    return _module(norm_graph, params["norm"])(x), cache


def unembed(
    config: DecoderConfig, params: Params, hidden: Float[Array, "... D"]
) -> Float[Array, "... V"]:
    """Logits in f32 over the unpadded vocabulary."""
    table, equation = params["embedding"], "...D,VD->...V"
    if not config.tied:
        table, equation = params["unembedding"], "...D,DV->...V"
    logits = quantized_einsum(equation, hidden, table, in_f32=True)
    if config.unembedding_bias:
        logits = logits + params["unembedding_bias"].astype(jnp.float32)
    return logits[..., : config.vocab_size]
