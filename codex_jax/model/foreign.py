"""Foreign weights as tables: what others call a parameter, and how they lay it out.

A family is a `Family`: their config's names beside ours, and for every parameter of ours theirs.
Reading and writing the files is not done here; both directions work on dictionaries of arrays.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from codex_jax import InputError
from codex_jax.model.config import DecoderConfig
from codex_jax.model.decoder import Params, abstract


class Weight(NamedTuple):
    """One parameter of theirs; {} in the name is the layer.

    `layout` is "same" (ours, reshaped), "transposed" (a torch Linear: out × in), or "interleaved"
    (the same, with each head's rotary pairs side by side, as GGUF keeps them). `part` of `parts`
    is taken along the last axis of "same" (GPT-2 keeps q, k and v in one).
    """

    name: str
    layout: str = "transposed"
    part: int = 0
    parts: int = 1


@dataclasses.dataclass(frozen=True)
class Family:
    """A family of models.

    `fields` maps our config's fields to their key, or to a constant given as (value,).
    """

    fields: Mapping[str, Any]
    weights: Mapping[str, Weight]


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

FAMILIES = {
    "gpt2": _GPT2,
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


def read_config(family: str, theirs: Mapping[str, Any]) -> DecoderConfig:
    """Their config as ours; a key they leave out takes our default.

    Raises:
      InputError: a family without a table.
    """
    if family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise InputError(f"model of family {family!r}; expected one of {known}")
    fields = {}
    for ours, name in FAMILIES[family].fields.items():
        value = name[0] if isinstance(name, tuple) else theirs.get(name)
        if value is not None:
            fields[ours] = value
    return DecoderConfig(**fields)


def write_config(family: str, config: DecoderConfig) -> dict[str, Any]:
    """Our config in their words.

    Raises:
      InputError: the family has no way to say it.
    """
    theirs = {}
    for ours, name in FAMILIES[family].fields.items():
        value = getattr(config, ours)
        if not isinstance(name, tuple):
            theirs[name] = value
        elif value != name[0]:
            raise InputError(f"DecoderConfig.{ours} is {value!r}; {family} always has {name[0]!r}")
    return theirs


def _leaves(tree: Params, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}/")
        else:
            yield path + name, value


def _nested(leaves: Mapping[str, Any]) -> Params:
    tree: Params = {}
    for path, value in leaves.items():
        *folders, name = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = value
    return tree


def read_params(family: str, config: DecoderConfig, get: Callable[[str], np.ndarray]) -> Params:
    """Their weights as our parameters, f32.

    Args:
      get: a weight by its name, as they lay it out.

    Raises:
      InputError: a weight of another shape than the config says.
    """
    table = FAMILIES[family].weights
    params = {}
    for path, shape in _leaves(abstract(config)[0]):
        weight = table[path]
        if path.startswith("blocks/"):
            layers = [
                _ours(get(weight.name.format(n)), weight, shape.shape[1:])
                for n in range(config.layers)
            ]
            params[path] = np.stack(layers)
        else:
            theirs = _ours(get(weight.name), weight, _unpadded(path, config, shape.shape))
            spare = [(0, all_ - n) for n, all_ in zip(theirs.shape, shape.shape, strict=True)]
            params[path] = np.pad(theirs, spare)
    return _nested(params)


def write_params(family: str, config: DecoderConfig, params: Params) -> dict[str, np.ndarray]:
    """Our parameters as their weights: the inverse of `read_params`."""
    table, theirs = FAMILIES[family].weights, {}
    for path, value in _leaves(params):
        weight, value = table[path], np.asarray(value)
        if path.startswith("blocks/"):
            for n, layer in enumerate(value):
                theirs.setdefault(weight.name.format(n), {})[weight.part] = _theirs(
                    layer, weight, path
                )
        else:
            kept = tuple(slice(n) for n in _unpadded(path, config, value.shape))
            theirs.setdefault(weight.name, {})[weight.part] = _theirs(value[kept], weight, path)
    return {
        name: np.ascontiguousarray(np.concatenate([parts[n] for n in sorted(parts)], axis=-1))
        for name, parts in theirs.items()
    }


def _unpadded(path: str, config: DecoderConfig, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the vocabulary's padding."""
    axis = {"embedding": 0, "unembedding": 1}.get(path)
    return tuple(config.vocab_size if n == axis else size for n, size in enumerate(shape))


def _ours(value: np.ndarray, weight: Weight, shape: tuple[int, ...]) -> np.ndarray:
    value = np.asarray(value, np.float32)
    size = int(np.prod(shape)) * weight.parts
    if value.size != size:
        raise InputError(f"{weight.name}: shape {list(value.shape)}; expected {size} numbers")
    if weight.layout == "same":
        return np.split(value, weight.parts, axis=-1)[weight.part].reshape(shape)
    if weight.layout == "interleaved":
        heads, size = shape[-2:]
        value = value.reshape(heads, size // 2, 2, -1).swapaxes(1, 2).reshape(heads * size, -1)
    return value.T.reshape(shape)


def _theirs(value: np.ndarray, weight: Weight, path: str) -> np.ndarray:
    if path.endswith(("bias", "scale", "shift")):
        return value.ravel()
    heads, size = value.shape[-2:]
    inputs = value.shape[:-1] if path.endswith("/out") else value.shape[:1]
    value = value.reshape(np.prod(inputs), -1)
    if weight.layout == "same":
        return value
    value = value.T
    if weight.layout == "interleaved":
        value = value.reshape(heads, 2, size // 2, -1).swapaxes(1, 2).reshape(heads * size, -1)
    return value
