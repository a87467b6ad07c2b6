"""Tables of foreign model families: their names for our fields and weights, and weight layouts."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple


class Weight(NamedTuple):
    """A foreign weight that holds a parameter of ours.

    Attributes:
      name: in the checkpoint; {} is the layer.
      layout: "same" (ours, reshaped), "transposed" (torch's Linear: out × in), or "interleaved"
        (transposed, with the numbers of each rotary pair adjacent, as in GPT-J and GGUF).
      part: index of our parameter among the outputs, where several share a weight.
      parts: number of parameters in the weight (GPT-2 stores q, k and v in one).
      groups: number of groups of outputs, each split into parts; 0 means a group per head.
    """

    name: str
    layout: str = "transposed"
    part: int = 0
    parts: int = 1
    groups: int = 1


class EnumField(NamedTuple):
    """A key and our names of its values; the first value is the default."""

    name: str
    to_ours: Mapping[Any, Any]


class FractionOfHead(NamedTuple):
    """A key whose value is a fraction of the head size."""

    name: str


@dataclasses.dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
      fields: for each of our config's fields, the foreign key (a string, EnumField or
        FractionOfHead), or a tuple with its constant value.
      weights: for each of our parameters, by path, the foreign weight.
    """

    fields: dict[str, Any]
    weights: dict[str, Weight]


def _same(name: str, part: int = 0, parts: int = 1) -> Weight:
    return Weight(name, "same", part, parts)


_LLAMA_FIELDS = {
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
    "activation": ("swiglu",),
    "bias": (False,),
}

_LLAMA_WEIGHTS = {
    "embedding": _same("model.embed_tokens.weight"),
    "unembedding": Weight("lm_head.weight"),
    "norm/scale": _same("model.norm.weight"),
    "blocks/attention_norm/scale": _same("model.layers.{}.input_layernorm.weight"),
    "blocks/mlp_norm/scale": _same("model.layers.{}.post_attention_layernorm.weight"),
    "blocks/attention/q": Weight("model.layers.{}.self_attn.q_proj.weight"),
    "blocks/attention/k": Weight("model.layers.{}.self_attn.k_proj.weight"),
    "blocks/attention/v": Weight("model.layers.{}.self_attn.v_proj.weight"),
    "blocks/attention/q_bias": _same("model.layers.{}.self_attn.q_proj.bias"),
    "blocks/attention/k_bias": _same("model.layers.{}.self_attn.k_proj.bias"),
    "blocks/attention/v_bias": _same("model.layers.{}.self_attn.v_proj.bias"),
    "blocks/attention/out": Weight("model.layers.{}.self_attn.o_proj.weight"),
    "blocks/mlp/gate": Weight("model.layers.{}.mlp.gate_proj.weight"),
    "blocks/mlp/up": Weight("model.layers.{}.mlp.up_proj.weight"),
    "blocks/mlp/down": Weight("model.layers.{}.mlp.down_proj.weight"),
}

_STARCODER2_WEIGHTS = _LLAMA_WEIGHTS | {
    "norm/shift": _same("model.norm.bias"),
    "blocks/attention_norm/shift": _same("model.layers.{}.input_layernorm.bias"),
    "blocks/mlp_norm/shift": _same("model.layers.{}.post_attention_layernorm.bias"),
    "blocks/attention/out_bias": _same("model.layers.{}.self_attn.o_proj.bias"),
    "blocks/mlp/up": Weight("model.layers.{}.mlp.c_fc.weight"),
    "blocks/mlp/up_bias": _same("model.layers.{}.mlp.c_fc.bias"),
    "blocks/mlp/down": Weight("model.layers.{}.mlp.c_proj.weight"),
    "blocks/mlp/down_bias": _same("model.layers.{}.mlp.c_proj.bias"),
}

_GPT2 = Family(
    {
        "vocab_size": "vocab_size",
        "layers": "n_layer",
        "width": "n_embd",
        "heads": "n_head",
        "mlp_size": "n_inner",
        "max_length": "n_positions",
        "norm_eps": "layer_norm_epsilon",
    },
    {
        "embedding": _same("wte.weight"),
        "position": _same("wpe.weight"),
        "norm/scale": _same("ln_f.weight"),
        "norm/shift": _same("ln_f.bias"),
        "blocks/attention_norm/scale": _same("h.{}.ln_1.weight"),
        "blocks/attention_norm/shift": _same("h.{}.ln_1.bias"),
        "blocks/mlp_norm/scale": _same("h.{}.ln_2.weight"),
        "blocks/mlp_norm/shift": _same("h.{}.ln_2.bias"),
        "blocks/attention/q": _same("h.{}.attn.c_attn.weight", 0, 3),
        "blocks/attention/k": _same("h.{}.attn.c_attn.weight", 1, 3),
        "blocks/attention/v": _same("h.{}.attn.c_attn.weight", 2, 3),
        "blocks/attention/q_bias": _same("h.{}.attn.c_attn.bias", 0, 3),
        "blocks/attention/k_bias": _same("h.{}.attn.c_attn.bias", 1, 3),
        "blocks/attention/v_bias": _same("h.{}.attn.c_attn.bias", 2, 3),
        "blocks/attention/out": _same("h.{}.attn.c_proj.weight"),
        "blocks/attention/out_bias": _same("h.{}.attn.c_proj.bias"),
        "blocks/mlp/up": _same("h.{}.mlp.c_fc.weight"),
        "blocks/mlp/up_bias": _same("h.{}.mlp.c_fc.bias"),
        "blocks/mlp/down": _same("h.{}.mlp.c_proj.weight"),
        "blocks/mlp/down_bias": _same("h.{}.mlp.c_proj.bias"),
    },
)

_GGUF_LLAMA = Family(
    {
        "vocab_size": "vocab_size",
        "layers": "block_count",
        "width": "embedding_length",
        "heads": "attention.head_count",
        "kv_heads": "attention.head_count_kv",
        "mlp_size": "feed_forward_length",
        "max_length": "context_length",
        "norm_eps": "attention.layer_norm_rms_epsilon",
        "rotary_base": "rope.freq_base",
        "tied": "tied",
        "norm": ("rmsnorm",),
        "positions": ("rotary",),
        "activation": ("swiglu",),
        "bias": (False,),
    },
    {
        "embedding": _same("token_embd.weight"),
        "unembedding": Weight("output.weight"),
        "norm/scale": _same("output_norm.weight"),
        "blocks/attention_norm/scale": _same("blk.{}.attn_norm.weight"),
        "blocks/mlp_norm/scale": _same("blk.{}.ffn_norm.weight"),
        "blocks/attention/q": Weight("blk.{}.attn_q.weight", "interleaved"),
        "blocks/attention/k": Weight("blk.{}.attn_k.weight", "interleaved"),
        "blocks/attention/v": Weight("blk.{}.attn_v.weight"),
        "blocks/attention/out": Weight("blk.{}.attn_output.weight"),
        "blocks/mlp/gate": Weight("blk.{}.ffn_gate.weight"),
        "blocks/mlp/up": Weight("blk.{}.ffn_up.weight"),
        "blocks/mlp/down": Weight("blk.{}.ffn_down.weight"),
    },
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
        "activation": EnumField("hidden_act", {"gelu": "gelu_exact", "gelu_new": "gelu"}),
        "tied": "tie_word_embeddings",
    },
    {
        "embedding": _same("gpt_neox.embed_in.weight"),
        "unembedding": Weight("lm_head.weight"),
        "norm/scale": _same("gpt_neox.final_layer_norm.weight"),
        "norm/shift": _same("gpt_neox.final_layer_norm.bias"),
    }
    | {
        f"blocks/{path}": weight._replace(name="gpt_neox.layers.{}." + weight.name)
        for path, weight in {
            "attention_norm/scale": _same("input_layernorm.weight"),
            "attention_norm/shift": _same("input_layernorm.bias"),
            "mlp_norm/scale": _same("post_attention_layernorm.weight"),
            "mlp_norm/shift": _same("post_attention_layernorm.bias"),
            "attention/q": Weight("attention.query_key_value.weight", "transposed", 0, 3, 0),
            "attention/k": Weight("attention.query_key_value.weight", "transposed", 1, 3, 0),
            "attention/v": Weight("attention.query_key_value.weight", "transposed", 2, 3, 0),
            "attention/q_bias": Weight("attention.query_key_value.bias", "same", 0, 3, 0),
            "attention/k_bias": Weight("attention.query_key_value.bias", "same", 1, 3, 0),
            "attention/v_bias": Weight("attention.query_key_value.bias", "same", 2, 3, 0),
            "attention/out": Weight("attention.dense.weight"),
            "attention/out_bias": _same("attention.dense.bias"),
            "mlp/up": Weight("mlp.dense_h_to_4h.weight"),
            "mlp/up_bias": _same("mlp.dense_h_to_4h.bias"),
            "mlp/down": Weight("mlp.dense_4h_to_h.weight"),
            "mlp/down_bias": _same("mlp.dense_4h_to_h.bias"),
        }.items()
    },
)

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
        "activation": EnumField("activation_function", {"gelu_new": "gelu", "gelu": "gelu_exact"}),
        "bias": (False,),
        "mlp_bias": (True,),
        "unembedding_bias": (True,),
        "tied": "tie_word_embeddings",
    },
    {
        "embedding": _same("wte.weight"),
        "unembedding": Weight("lm_head.weight"),
        "unembedding_bias": _same("lm_head.bias"),
        "norm/scale": _same("ln_f.weight"),
        "norm/shift": _same("ln_f.bias"),
        "blocks/attention_norm/scale": _same("h.{}.ln_1.weight"),
        "blocks/attention_norm/shift": _same("h.{}.ln_1.bias"),
        "blocks/attention/q": Weight("h.{}.attn.q_proj.weight", "interleaved"),
        "blocks/attention/k": Weight("h.{}.attn.k_proj.weight", "interleaved"),
        "blocks/attention/v": Weight("h.{}.attn.v_proj.weight"),
        "blocks/attention/out": Weight("h.{}.attn.out_proj.weight"),
        "blocks/mlp/up": Weight("h.{}.mlp.fc_in.weight"),
        "blocks/mlp/up_bias": _same("h.{}.mlp.fc_in.bias"),
        "blocks/mlp/down": Weight("h.{}.mlp.fc_out.weight"),
        "blocks/mlp/down_bias": _same("h.{}.mlp.fc_out.bias"),
    },
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
)

FAMILIES = {
    "codegen": _CODEGEN,
    "gpt2": _GPT2,
    "gpt_neox": _GPT_NEOX,
    "gptj": _GPTJ,
    "llama": Family(_LLAMA_FIELDS, _LLAMA_WEIGHTS),
    "qwen2": Family(_LLAMA_FIELDS | {"qkv_bias": (True,)}, _LLAMA_WEIGHTS),
    "starcoder2": Family(
        _LLAMA_FIELDS
        | {
            "norm_eps": "norm_epsilon",
            "norm": ("layernorm",),
            "activation": ("gelu",),
            "bias": (True,),
        },
        _STARCODER2_WEIGHTS,
    ),
    "gguf:llama": _GGUF_LLAMA,
}
