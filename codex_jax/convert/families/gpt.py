"""GPT-2, GPT-NeoX, GPT-J and CodeGen."""

import numpy as np

from codex_jax.convert.families.table import (
    ANY,
    EnumField,
    Family,
    FractionOfHead,
    Scales,
    Weight,
    gelu_field,
    same,
)

_ALIASES = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}


def _gpt2_scales(foreign, fields) -> Scales:
    """Factors of the queries: scores may lack 1/√H, and be divided by the layer's number."""
    factor = np.ones(fields["layers"])
    if not foreign.get("scale_attn_weights"):
        factor *= (fields["width"] // fields["heads"]) ** 0.5
    if foreign.get("scale_attn_by_inverse_layer_idx"):
        factor /= np.arange(1, fields["layers"] + 1)
    return {"blocks/attention/q": factor, "blocks/attention/q_bias": factor}


_GPT2 = Family(
    {
        "vocab_size": "vocab_size",
        "layers": "n_layer",
        "width": "n_embd",
        "heads": "n_head",
        "mlp_size": "n_inner",
        "max_length": "n_positions",
        "norm_eps": "layer_norm_epsilon",
        "activation": gelu_field("activation_function", "gelu_new"),
        "tied": "tie_word_embeddings",
    },
    {
        "embedding": same("wte.weight"),
        "unembedding": Weight("lm_head.weight"),
        "position": same("wpe.weight"),
        "norm/scale": same("ln_f.weight"),
        "norm/shift": same("ln_f.bias"),
        "blocks/attention_norm/scale": same("h.{}.ln_1.weight"),
        "blocks/attention_norm/shift": same("h.{}.ln_1.bias"),
        "blocks/mlp_norm/scale": same("h.{}.ln_2.weight"),
        "blocks/mlp_norm/shift": same("h.{}.ln_2.bias"),
        "blocks/attention/q": same("h.{}.attn.c_attn.weight", 0, 3),
        "blocks/attention/k": same("h.{}.attn.c_attn.weight", 1, 3),
        "blocks/attention/v": same("h.{}.attn.c_attn.weight", 2, 3),
        "blocks/attention/q_bias": same("h.{}.attn.c_attn.bias", 0, 3),
        "blocks/attention/k_bias": same("h.{}.attn.c_attn.bias", 1, 3),
        "blocks/attention/v_bias": same("h.{}.attn.c_attn.bias", 2, 3),
        "blocks/attention/out": same("h.{}.attn.c_proj.weight"),
        "blocks/attention/out_bias": same("h.{}.attn.c_proj.bias"),
        "blocks/mlp/up": same("h.{}.mlp.c_fc.weight"),
        "blocks/mlp/up_bias": same("h.{}.mlp.c_fc.bias"),
        "blocks/mlp/down": same("h.{}.mlp.c_proj.weight"),
        "blocks/mlp/down_bias": same("h.{}.mlp.c_proj.bias"),
    },
    {
        "n_positions": 1024,
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
    },
    {"reorder_and_upcast_attn": ANY, "n_ctx": ANY},
    _ALIASES,
    _gpt2_scales,
)

_GPT_NEOX = Family(
    {
        "vocab_size": "vocab_size",
        "layers": "num_hidden_layers",
        "width": "hidden_size",
        "heads": "num_attention_heads",
        "mlp_size": "intermediate_size",
        "max_length": "max_position_embeddings",
        "norm_eps": "layer_norm_eps",
        "positions": ("rotary",),
        "rotary_base": "rotary_emb_base",
        "rotary_size": FractionOfHead("rotary_pct"),
        "residual": EnumField("use_parallel_residual", {True: "parallel", False: "sequential"}),
        "activation": gelu_field("hidden_act", "gelu"),
        "tied": "tie_word_embeddings",
    },
    {
        "embedding": same("gpt_neox.embed_in.weight"),
        "unembedding": Weight("lm_head.weight"),
        "norm/scale": same("gpt_neox.final_layer_norm.weight"),
        "norm/shift": same("gpt_neox.final_layer_norm.bias"),
    }
    | {
        f"blocks/{path}": weight._replace(name="gpt_neox.layers.{}." + weight.name)
        for path, weight in {
            "attention_norm/scale": same("input_layernorm.weight"),
            "attention_norm/shift": same("input_layernorm.bias"),
            "mlp_norm/scale": same("post_attention_layernorm.weight"),
            "mlp_norm/shift": same("post_attention_layernorm.bias"),
            "attention/q": Weight("attention.query_key_value.weight", "transposed", 0, 3, 0),
            "attention/k": Weight("attention.query_key_value.weight", "transposed", 1, 3, 0),
            "attention/v": Weight("attention.query_key_value.weight", "transposed", 2, 3, 0),
            "attention/q_bias": Weight("attention.query_key_value.bias", "same", 0, 3, 0),
            "attention/k_bias": Weight("attention.query_key_value.bias", "same", 1, 3, 0),
            "attention/v_bias": Weight("attention.query_key_value.bias", "same", 2, 3, 0),
            "attention/out": Weight("attention.dense.weight"),
            "attention/out_bias": same("attention.dense.bias"),
            "mlp/up": Weight("mlp.dense_h_to_4h.weight"),
            "mlp/up_bias": same("mlp.dense_h_to_4h.bias"),
            "mlp/down": Weight("mlp.dense_4h_to_h.weight"),
            "mlp/down_bias": same("mlp.dense_4h_to_h.bias"),
        }.items()
    },
    {
        "max_position_embeddings": 2048,
        "layer_norm_eps": 1e-5,
        "rotary_emb_base": 10_000.0,
        "rotary_pct": 0.25,
        "tie_word_embeddings": False,
    },
    {"attention_bias": (True,)},
    {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"},
)

_GPTJ_DEFAULTS = {
    "n_positions": 2048,
    "layer_norm_epsilon": 1e-5,
    "rotary_dim": 64,
    "tie_word_embeddings": False,
}
_GPTJ_HARMLESS = {"rotary": (True,), "scale_attn_weights": (True,), "n_ctx": ANY}

_GPTJ = Family(
    {
        "vocab_size": "vocab_size",
        "layers": "n_layer",
        "width": "n_embd",
        "heads": "n_head",
        "mlp_size": "n_inner",
        "max_length": "n_positions",
        "norm_eps": "layer_norm_epsilon",
        "positions": ("rotary",),
        "rotary_base": (10_000.0,),
        "rotary_size": "rotary_dim",
        "residual": ("shared",),
        "activation": gelu_field("activation_function", "gelu_new"),
        "bias": (False,),
        "mlp_bias": (True,),
        "unembedding_bias": (True,),
        "tied": "tie_word_embeddings",
    },
    {
        "embedding": same("wte.weight"),
        "unembedding": Weight("lm_head.weight"),
        "unembedding_bias": same("lm_head.bias"),
        "norm/scale": same("ln_f.weight"),
        "norm/shift": same("ln_f.bias"),
        "blocks/attention_norm/scale": same("h.{}.ln_1.weight"),
        "blocks/attention_norm/shift": same("h.{}.ln_1.bias"),
        "blocks/attention/q": Weight("h.{}.attn.q_proj.weight", "interleaved"),
        "blocks/attention/k": Weight("h.{}.attn.k_proj.weight", "interleaved"),
        "blocks/attention/v": Weight("h.{}.attn.v_proj.weight"),
        "blocks/attention/out": Weight("h.{}.attn.out_proj.weight"),
        "blocks/mlp/up": Weight("h.{}.mlp.fc_in.weight"),
        "blocks/mlp/up_bias": same("h.{}.mlp.fc_in.bias"),
        "blocks/mlp/down": Weight("h.{}.mlp.fc_out.weight"),
        "blocks/mlp/down_bias": same("h.{}.mlp.fc_out.bias"),
    },
    _GPTJ_DEFAULTS,
    _GPTJ_HARMLESS,
    _ALIASES,
)

# q, v, k of each quarter of the heads, as CodeGen was trained on four cores.
_CODEGEN_QKV = "h.{}.attn.qkv_proj.weight"
_CODEGEN = Family(
    _GPTJ.fields,
    _GPTJ.weights
    | {
        "blocks/attention/q": Weight(_CODEGEN_QKV, "interleaved", 0, 3, 4),
        "blocks/attention/v": Weight(_CODEGEN_QKV, "transposed", 1, 3, 4),
        "blocks/attention/k": Weight(_CODEGEN_QKV, "interleaved", 2, 3, 4),
    },
    _GPTJ_DEFAULTS,
    _GPTJ_HARMLESS,
    _ALIASES,
)

GPT_FAMILIES = {
    "codegen": _CODEGEN,
    "gpt2": _GPT2,
    "gpt_neox": _GPT_NEOX,
    "gptj": _GPTJ,
}
