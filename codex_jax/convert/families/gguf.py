"""Llama-like families as llama.cpp names them in GGUF files."""

from codex_jax.convert.families.table import Family, Weight, same

_FIELDS = {
    "vocab_size": "vocab_size",
    "layers": "block_count",
    "width": "embedding_length",
    "heads": "attention.head_count",
    "kv_heads": "attention.head_count_kv",
    "head_size": "attention.key_length",
    "mlp_size": "feed_forward_length",
    "max_length": "context_length",
    "norm_eps": "attention.layer_norm_rms_epsilon",
    "rotary_base": "rope.freq_base",
    "tied": "tied",
    "norm": ("rmsnorm",),
    "positions": ("rotary",),
    "activation": ("swiglu",),
    "bias": (False,),
}
_DEFAULTS = {"rope.freq_base": 10_000.0, "qkv_bias": False, "out_bias": False, "mlp_bias": False}
_LLAMA_FIELDS = _FIELDS | {name: name for name in ("qkv_bias", "out_bias", "mlp_bias")}
_WEIGHTS = {
    "embedding": same("token_embd.weight"),
    "unembedding": Weight("output.weight"),
    "norm/scale": same("output_norm.weight"),
} | {
    f"blocks/{path}": weight._replace(name="blk.{}." + weight.name)
    for path, weight in {
        "attention_norm/scale": same("attn_norm.weight"),
        "mlp_norm/scale": same("ffn_norm.weight"),
        "attention/q": Weight("attn_q.weight"),
        "attention/k": Weight("attn_k.weight"),
        "attention/v": Weight("attn_v.weight"),
        "attention/q_bias": same("attn_q.bias"),
        "attention/k_bias": same("attn_k.bias"),
        "attention/v_bias": same("attn_v.bias"),
        "attention/q_scale": same("attn_q_norm.weight"),
        "attention/k_scale": same("attn_k_norm.weight"),
        "attention/out": Weight("attn_output.weight"),
        "attention/out_bias": same("attn_output.bias"),
        "mlp/gate": Weight("ffn_gate.weight"),
        "mlp/gate_bias": same("ffn_gate.bias"),
        "mlp/up": Weight("ffn_up.weight"),
        "mlp/up_bias": same("ffn_up.bias"),
        "mlp/down": Weight("ffn_down.weight"),
        "mlp/down_bias": same("ffn_down.bias"),
    }.items()
}
_LLAMA_WEIGHTS = _WEIGHTS | {
    f"blocks/attention/{name}": _WEIGHTS[f"blocks/attention/{name}"]._replace(layout="interleaved")
    for name in ("q", "k", "q_bias", "k_bias")
}

GGUF_FAMILIES = {
    "gguf:llama": Family(_LLAMA_FIELDS, _LLAMA_WEIGHTS, _DEFAULTS),
    "gguf:qwen2": Family(_FIELDS | {"qkv_bias": (True,)}, _WEIGHTS, _DEFAULTS),
    "gguf:qwen3": Family(_FIELDS | {"qk_norm": (True,)}, _WEIGHTS, _DEFAULTS),
}
