import dataclasses
import functools
import json

import jax
import numpy as np
import pytest

from codex_jax import InputError, model
from codex_jax.convert import hf_params
from codex_jax.model.attention.core import packed_attention

GPT2 = {"norm": "layernorm", "positions": "learned", "activation": "gelu", "bias": True}
LLAMA = {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": False}
GPTJ = {"positions": "rotary", "rotary_size": 4, "residual": "shared", "tied": False}
GPTJ |= {"bias": False, "mlp_bias": True, "unembedding_bias": True}
CONFIGS = {
    "gpt2": GPT2,
    "llama": LLAMA | {"kv_heads": 2, "tied": False},
    "qwen2": LLAMA | {"qkv_bias": True, "kv_heads": 1},
    "starcoder2": GPT2 | {"positions": "rotary", "kv_heads": 2, "norm_eps": 1e-4},
    "mistral": LLAMA | {"kv_heads": 2, "tied": False, "window": 8},
    "qwen3": LLAMA | {"qk_norm": True, "kv_heads": 2, "head_size": 16},
    "gemma": LLAMA | {"activation": "geglu", "head_size": 16},
    "granite": LLAMA | {"qkv_bias": True, "out_bias": True, "mlp_bias": True},
    "gguf:llama": LLAMA | {"kv_heads": 2},
    "gguf:qwen2": LLAMA | {"qkv_bias": True},
    "gguf:qwen3": LLAMA | {"qk_norm": True},
    "gpt_neox": GPT2
    | {"positions": "rotary", "rotary_size": 2, "tied": False}
    | {"residual": "parallel", "activation": "gelu_exact"},
    "gptj": GPTJ,
    "codegen": GPTJ,
}


def small(family):
    fields = {"vocab_size": 70, "layers": 2, "width": 32, "heads": 4, "max_length": 64}
    return model.DecoderConfig(**fields, **CONFIGS[family])


@pytest.mark.parametrize("family", hf_params.FAMILIES)
def test_reading_undoes_writing(family):
    config = small(family)
    params = jax.device_get(jax.jit(model.init, static_argnums=0)(config, jax.random.key(0)))
    key = jax.random.key(1)
    varied = jax.tree.map(lambda leaf: np.array(leaf + jax.random.normal(key, leaf.shape)), params)
    params = jax.tree.map(lambda _, new: new, params, varied)  # biases differ from each other
    padding = slice(config.vocab_size, None)  # zeros in the foreign weights
    for name in {"embedding", "unembedding", "unembedding_bias"} & params.keys():
        params[name][(slice(None), padding) if name == "unembedding" else padding] = 0
    words = json.loads(json.dumps(hf_params.write_config(family, config)))
    assert hf_params.read_config(family, words) == config
    weights = hf_params.write_params(family, config, params)
    again = hf_params.read_params(family, config, weights.__getitem__)
    assert jax.tree.structure(again) == jax.tree.structure(params)
    tolerance = 1e-6 if family in ("gemma", "granite") else 0  # of factors, and of 1 less
    check = functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    jax.tree.map(check, again, params)


def test_torch_linears_are_out_by_in():
    config = small("llama")
    shapes, _ = model.abstract_params(config)
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, "f"), shapes)
    params["blocks"]["attention"]["k"][1, 3, 1, 5] = 7  # input 3, head 1, position 5
    state = hf_params.write_params("llama", config, params)
    assert state["model.layers.1.self_attn.k_proj.weight"][8 + 5, 3] == 7


def test_gpt2_keeps_q_k_and_v_in_one():
    config = small("gpt2")
    shapes, _ = model.abstract_params(config)
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, "f"), shapes)
    params["blocks"]["attention"]["v"][0, 3, 1, 5] = 7
    assert hf_params.write_params("gpt2", config, params)["h.0.attn.c_attn.weight"][3, 64 + 13] == 7


def test_an_unknown_family_and_a_wrong_shape_are_one_line():
    with pytest.raises(
        InputError, match="family 'mamba'; expected one of codegen, gemma, gguf:llama"
    ):
        hf_params.read_config("mamba", {})
    with pytest.raises(InputError, match=r"c_attn.weight: shape \[3\]; expected \[32, 96\]"):
        hf_params.read_params("gpt2", small("gpt2"), lambda _: np.zeros(3))


def test_a_word_that_is_not_ours_is_one_line():
    words = hf_params.write_config("gpt_neox", small("gpt_neox"))
    assert hf_params.read_config("gpt_neox", words | {"use_parallel_residual": False}).residual == (
        "sequential"
    )
    with pytest.raises(InputError, match="hidden_act is 'relu'; expected one of 'gelu'"):
        hf_params.read_config("gpt_neox", words | {"hidden_act": "relu"})
    with pytest.raises(InputError, match="'shared'; gpt_neox has 'parallel' or 'sequential'"):
        hf_params.write_config("gpt_neox", small("gptj"))
    config = dataclasses.replace(small("gpt2"), activation="swiglu")
    with pytest.raises(InputError, match="'swiglu'; gpt2 has 'gelu' or 'gelu_exact' or 'quick_"):
        hf_params.write_config("gpt2", config)  # each word once


THEIRS = [family for family in hf_params.FAMILIES if ":" not in family]


@pytest.mark.parametrize("family", THEIRS)
def test_logits_equal_those_of_transformers(family):
    """Random weights, theirs to ours: within 1e-4."""
    transformers = pytest.importorskip("transformers", reason="needs transformers and torch")
    torch = pytest.importorskip("torch")
    config = small(family)
    words = hf_params.write_config(family, config)
    torch.manual_seed(0)
    extra = {"hidden_act": "gelu_pytorch_tanh"} if family == "starcoder2" else {}
    network = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(family, **words, **extra)
    ).eval()
    with torch.no_grad():  # biases and norms that differ from each other
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    prefix = "transformer." if family in ("gpt2", "gptj", "codegen") else ""
    state = {k.removeprefix(prefix): v.numpy() for k, v in network.state_dict().items()}
    params = hf_params.read_params(family, config, state.__getitem__)
    tokens = np.random.default_rng(0).integers(0, 70, (2, 30))
    with torch.no_grad():
        expected = network(torch.tensor(tokens)).logits.numpy()
    positions = np.broadcast_to(np.arange(30), tokens.shape)
    attend = packed_attention(np.ones_like(tokens))
    hidden, _ = model.forward(config, params, tokens, positions, attend)
    logits = model.unembed(config, params, hidden)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("family", CONFIGS)
def test_a_matrix_of_another_shape_is_refused_though_it_has_as_many_numbers(family):
    """A tensor that was saved transposed would be read as another one."""
    config = small(family)
    params = jax.tree.map(
        np.asarray, jax.jit(model.init, static_argnums=0)(config, jax.random.key(0))
    )
    weights = hf_params.write_params(family, config, params)
    matrices = [name for name, value in weights.items() if value.ndim == 2]
    others = [name for name in matrices if len(set(weights[name].shape)) == 2]
    assert others
    for name in others:
        shape = weights[name].shape
        transposed = weights | {name: np.ascontiguousarray(weights[name].T)}
        with pytest.raises(
            InputError, match=rf"shape \[{shape[1]}, {shape[0]}\]; expected \[{shape[0]}"
        ):
            hf_params.read_params(family, config, transposed.__getitem__)
