"""Llama and the families that differ from it in a few rows."""

import numpy as np

from codex_jax.convert.families.table import (
    ANY,
    EnumField,
    Family,
    Scales,
    SlidingWindow,
    Weight,
    gelu_field,
    same,
)

_GATED = {
    "silu": "swiglu",
    "swish": "swiglu",
    "gelu_pytorch_tanh": "geglu",
    "gelu_new": "geglu",
    "gelu": "geglu_exact",
}
_FIELDS = {
    "vocab_size": "vocab_size",
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_size": "head_dim",
    "mlp_size": "intermediate_size",
    "max_length": "max_position_embeddings",
    "norm_eps": "rms_norm_eps",
    "rotary_base": "rope_theta",
    "tied": "tie_word_embeddings",
    "norm": ("rmsnorm",),
    "positions": ("rotary",),
    "activation": EnumField("hidden_act", _GATED),
    "bias": (False,),
}
_BIASES = {"qkv_bias": "attention_bias", "out_bias": "attention_bias"}
_DEFAULTS = {
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": False,
    "max_position_embeddings": 2048,
    "attention_bias": False,
    "mlp_bias": False,
}
_HARMLESS = {
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "partial_rotary_factor": (1.0,),
    "is_llama_config": (True,),
    "rope_interleaved": (False,),
    "use_sliding_window": (False,),
    "use_mrope": (False,),
    "pretraining_tp": ANY,
    "max_sequence_length": ANY,
}

_WEIGHTS = {
    "embedding": same("model.embed_tokens.weight"),
    "unembedding": Weight("lm_head.weight"),
    "norm/scale": same("model.norm.weight"),
    "blocks/attention_norm/scale": same("model.layers.{}.input_layernorm.weight"),
    "blocks/mlp_norm/scale": same("model.layers.{}.post_attention_layernorm.weight"),
    "blocks/attention/q": Weight("model.layers.{}.self_attn.q_proj.weight"),
    "blocks/attention/k": Weight("model.layers.{}.self_attn.k_proj.weight"),
    "blocks/attention/v": Weight("model.layers.{}.self_attn.v_proj.weight"),
    "blocks/attention/q_bias": same("model.layers.{}.self_attn.q_proj.bias"),
    "blocks/attention/k_bias": same("model.layers.{}.self_attn.k_proj.bias"),
    "blocks/attention/v_bias": same("model.layers.{}.self_attn.v_proj.bias"),
    "blocks/attention/out": Weight("model.layers.{}.self_attn.o_proj.weight"),
    "blocks/attention/out_bias": same("model.layers.{}.self_attn.o_proj.bias"),
    "blocks/mlp/gate": Weight("model.layers.{}.mlp.gate_proj.weight"),
    "blocks/mlp/up": Weight("model.layers.{}.mlp.up_proj.weight"),
    "blocks/mlp/down": Weight("model.layers.{}.mlp.down_proj.weight"),
    "blocks/mlp/gate_bias": same("model.layers.{}.mlp.gate_proj.bias"),
    "blocks/mlp/up_bias": same("model.layers.{}.mlp.up_proj.bias"),
    "blocks/mlp/down_bias": same("model.layers.{}.mlp.down_proj.bias"),
}
_STARCODER2_WEIGHTS = _WEIGHTS | {
    "norm/shift": same("model.norm.bias"),
    "blocks/attention_norm/shift": same("model.layers.{}.input_layernorm.bias"),
    "blocks/mlp_norm/shift": same("model.layers.{}.post_attention_layernorm.bias"),
    "blocks/mlp/up": Weight("model.layers.{}.mlp.c_fc.weight"),
    "blocks/mlp/up_bias": same("model.layers.{}.mlp.c_fc.bias"),
    "blocks/mlp/down": Weight("model.layers.{}.mlp.c_proj.weight"),
    "blocks/mlp/down_bias": same("model.layers.{}.mlp.c_proj.bias"),
}
_QWEN3_WEIGHTS = _WEIGHTS | {
    "blocks/attention/q_scale": same("model.layers.{}.self_attn.q_norm.weight"),
    "blocks/attention/k_scale": same("model.layers.{}.self_attn.k_norm.weight"),
}
_GEMMA_WEIGHTS = _WEIGHTS | {
    path: _WEIGHTS[path]._replace(layout="minus 1")
    for path in ("norm/scale", "blocks/attention_norm/scale", "blocks/mlp_norm/scale")
}


def _gemma_scales(foreign, fields) -> Scales:
    """Gemma multiplies embeddings, but not the tied unembedding, by the root of the width."""
    del foreign
    root = float(np.sqrt(fields["width"]))
    return {"embedding": root} | ({"norm/scale": 1 / root} if fields["tied"] else {})


def _granite_scales(foreign, fields) -> Scales:
    """Granite's four multipliers."""
    embedding = foreign.get("embedding_multiplier")
    residual = foreign.get("residual_multiplier")
    head_size = fields.get("head_size") or fields["width"] // fields["heads"]
    query = foreign.get("attention_multiplier") * head_size**0.5
    last = 1 / foreign.get("logits_scaling") / (embedding if fields["tied"] else 1)
    return {
        "embedding": embedding,
        "norm/scale": last,
        "blocks/attention/q": query,
        "blocks/attention/q_bias": query,
        "blocks/attention/out": residual,
        "blocks/attention/out_bias": residual,
        "blocks/mlp/down": residual,
        "blocks/mlp/down_bias": residual,
    }


_QWEN_WINDOW = {"window": SlidingWindow("sliding_window", "use_sliding_window")}
_QWEN_DEFAULTS = _DEFAULTS | {
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
    "max_position_embeddings": 32_768,
}
_QWEN_HARMLESS = {name: value for name, value in _HARMLESS.items() if "sliding" not in name}

LLAMA_FAMILIES = {
    "llama": Family(_FIELDS | _BIASES | {"mlp_bias": "mlp_bias"}, _WEIGHTS, _DEFAULTS, _HARMLESS),
    "mistral": Family(
        _FIELDS | {"window": SlidingWindow("sliding_window")},
        _WEIGHTS,
        _DEFAULTS
        | {"sliding_window": 4096, "max_position_embeddings": 131_072, "num_key_value_heads": 8},
        _HARMLESS,
    ),
    "qwen2": Family(
        _FIELDS | {"qkv_bias": (True,)} | _QWEN_WINDOW, _WEIGHTS, _QWEN_DEFAULTS, _QWEN_HARMLESS
    ),
    "qwen3": Family(
        _FIELDS | _BIASES | {"qk_norm": (True,)} | _QWEN_WINDOW,
        _QWEN3_WEIGHTS,
        _QWEN_DEFAULTS | {"head_dim": 128},
        _QWEN_HARMLESS,
    ),
    "gemma": Family(
        _FIELDS
        | {"activation": EnumField("hidden_act", {"gelu_pytorch_tanh": "geglu", "gelu": "geglu"})},
        _GEMMA_WEIGHTS,
        _DEFAULTS | {"head_dim": 256, "tie_word_embeddings": True},
        _HARMLESS
        | {"hidden_activation": ("gelu_pytorch_tanh",), "use_bidirectional_attention": (False,)},
        scales=_gemma_scales,
    ),
    "granite": Family(
        _FIELDS | _BIASES | {"mlp_bias": "mlp_bias"},
        _WEIGHTS,
        _DEFAULTS
        | dict.fromkeys(
            (
                "embedding_multiplier",
                "residual_multiplier",
                "attention_multiplier",
                "logits_scaling",
            ),
            1.0,
        ),
        _HARMLESS,
        scales=_granite_scales,
    ),
    "starcoder2": Family(
        _FIELDS
        | {
            "norm_eps": "norm_epsilon",
            "norm": ("layernorm",),
            "activation": gelu_field("hidden_act", "gelu_pytorch_tanh"),
            "bias": "use_bias",
            "window": SlidingWindow("sliding_window"),
        },
        _STARCODER2_WEIGHTS,
        _DEFAULTS
        | {"norm_epsilon": 1e-5, "use_bias": True, "tie_word_embeddings": True}
        | {"sliding_window": None, "max_position_embeddings": 4096},
        _HARMLESS
        | {
            "activation_function": ANY,
            "layer_norm_epsilon": ANY,
            "mlp_type": ("default",),
            "norm_type": ("layer_norm",),
            "scale_attn_weights": (True,),
            "attention_softmax_in_fp32": ANY,
            "scale_attention_softmax_in_fp32": ANY,
        },
    ),
}
