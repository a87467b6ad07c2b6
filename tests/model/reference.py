"""The decoder in numpy, in f64, one token and one head at a time, with all of a row visible.

It shares nothing with `codex_jax.model` but the names of the parameters and of the config's fields.
"""

import math

import numpy as np


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_exact(x):
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x.ravel()]).reshape(
        x.shape
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "gelu": gelu_tanh,
    "gelu_exact": gelu_exact,
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
    "swiglu": lambda x: x * sigmoid(x),
    "geglu": gelu_tanh,
    "geglu_exact": gelu_exact,
}


def norm(config, x, params):
    if config.norm == "layernorm":
        x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + config.norm_eps)
    return x * params["scale"] + params.get("shift", 0.0)


def rotate(config, x, position):
    """Rotates the pairs (r, r + R) of the first 2 R numbers of a head."""
    half, out = config.rotary_size // 2, x.copy()
    for r in range(half):
        angle = position * config.rotary_base ** (-r / half)
        if config.rotary_scaling == "linear":
            angle /= config.rotary_factor
        cos, sin = math.cos(angle), math.sin(angle)
        out[..., r] = x[..., r] * cos - x[..., half + r] * sin
        out[..., half + r] = x[..., half + r] * cos + x[..., r] * sin
    return out


def attention(config, x, params):
    """Attention over the tokens x of one text, [T, D]."""
    q, k, v = (
        np.einsum("td,dnh->tnh", x, params[name]) + params.get(f"{name}_bias", 0.0)
        for name in ("q", "k", "v")
    )
    if config.qk_norm:
        q, k = (
            y / np.sqrt((y**2).mean(-1, keepdims=True) + config.norm_eps) * params[scale]
            for y, scale in ((q, "q_scale"), (k, "k_scale"))
        )
    if config.positions == "rotary":
        for position in range(len(x)):
            q[position] = rotate(config, q[position], position)
            k[position] = rotate(config, k[position], position)
    out = np.zeros_like(q)
    for t in range(len(x)):
        first = max(0, t + 1 - config.window) if config.window else 0
        for head in range(config.heads):
            shared = head // (config.heads // config.kv_heads)
            scores = k[first : t + 1, shared] @ q[t, head] / math.sqrt(config.head_size)
            weights = np.exp(scores - scores.max())
            out[t, head] = (weights / weights.sum()) @ v[first : t + 1, shared]
    return np.einsum("tnh,nhd->td", out, params["out"]) + params.get("out_bias", 0.0)


def mlp(config, x, params):
    up = x @ params["up"] + params.get("up_bias", 0.0)
    activation = ACTIVATIONS[config.activation]
    if config.is_gated:
        hidden = activation(x @ params["gate"] + params.get("gate_bias", 0.0)) * up
    else:
        hidden = activation(up)
    return hidden @ params["down"] + params.get("down_bias", 0.0)


def block(config, x, params):
    normed = norm(config, x, params["attention_norm"])
    attended = attention(config, normed, params["attention"])
    if config.residual == "sequential":
        x = x + attended
        return x + mlp(config, norm(config, x, params["mlp_norm"]), params["mlp"])
    if config.residual == "parallel":
        normed = norm(config, x, params["mlp_norm"])
    return x + attended + mlp(config, normed, params["mlp"])


def layer_params(params, layer):
    return {
        name: layer_params(value, layer) if isinstance(value, dict) else value[layer]
        for name, value in params.items()
    }


def logits(config, params, tokens):
    """Logits [T, V] of one text."""
    x = params["embedding"][tokens]
    if config.positions == "learned":
        x = x + params["position"][: len(tokens)]
    for layer in range(config.layers):
        x = block(config, x, layer_params(params["blocks"], layer))
    x = norm(config, x, params["norm"])
    table = params["embedding"].T if config.tied else params["unembedding"]
    return (x @ table + params.get("unembedding_bias", 0.0))[:, : config.vocab_size]
