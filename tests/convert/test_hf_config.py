"""Foreign configs: keys that change logits are read or refused."""

import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.convert.hf_config import read_config, read_scales, write_config

LLAMA = {"vocab_size": 70, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
LLAMA |= {"num_attention_heads": 4, "max_position_embeddings": 64}
GPT2 = {"vocab_size": 70, "n_embd": 32, "n_layer": 3, "n_head": 4}


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("llama", "rope_scaling", {"type": "dynamic", "factor": 2.0}),
        ("llama", "rope_scaling", {"type": "longrope", "factor": 2.0, "long_factor": [1]}),
        ("llama", "rope_scaling", {"type": "linear", "factor": 2.0, "shift": 1}),
        ("llama", "quantization_config", {"quant_method": "fp8"}),
        ("llama", "sliding_window", 16),
        ("llama", "auto_map", {"AutoModel": "x.y"}),
        ("llama", "num_local_experts", 8),
        ("llama", "hidden_act", "relu"),
        ("qwen2", "attention_bias", True),
        ("gpt2", "add_cross_attention", True),
        ("gpt2", "activation_function", "swish"),
        ("gpt2", "rope_scaling", {"type": "linear", "factor": 2.0}),
        ("gpt_neox", "attention_bias", False),
        ("codegen", "rotary", False),
    ],
)
def test_a_key_that_changes_logits_is_refused_by_name(family, key, value):
    fields = GPT2 if family in ("gpt2", "codegen") else LLAMA
    with pytest.raises(
        InputError, match=f"{key}|{value.get('type') if type(value) is dict else 0}"
    ):
        read_config(family, fields | {key: value})


def test_metadata_and_harmless_values_pass():
    harmless = {"architectures": ["L"], "rope_scaling": None, "attention_dropout": 0.1}
    harmless |= {"partial_rotary_factor": 1.0, "pretraining_tp": 1, "is_encoder_decoder": False}
    assert read_config("llama", LLAMA | harmless) == read_config("llama", LLAMA)


def test_missing_keys_have_the_defaults_of_the_family():
    assert read_config("llama", LLAMA).norm_eps == 1e-6
    assert not read_config("llama", LLAMA).tied
    assert read_config("gpt_neox", LLAMA).rotary_size == 2
    with pytest.raises(InputError, match="no intermediate_size; add it"):
        read_config("llama", {k: v for k, v in LLAMA.items() if k != "intermediate_size"})


@pytest.mark.parametrize("key", ["num_key_value_heads", "intermediate_size", "head_dim"])
def test_a_size_of_zero_is_no_default(key):
    with pytest.raises(InputError, match=f"config has {key} = 0; expected 1 or more"):
        read_config("llama", LLAMA | {key: 0})


def test_windows_in_all_layers_in_none_and_in_a_part():
    window = {"use_sliding_window": True, "sliding_window": 16}
    assert read_config("qwen2", LLAMA | window | {"max_window_layers": 0}).window == 16
    assert read_config("qwen2", LLAMA | window | {"max_window_layers": 3}).window == 0
    assert (
        read_config("mistral", LLAMA | {"num_key_value_heads": 2, "sliding_window": 4096}).window
        == 0
    )
    with pytest.raises(InputError, match="16 in a part of its layers"):
        read_config("qwen2", LLAMA | window | {"max_window_layers": 2})


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 4},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
        {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 16}
        | {"low_freq_factor": 1.0, "high_freq_factor": 4.0},
    ],
)
def test_rope_scaling_in_both_spellings_and_written_again(rope):
    config = read_config("llama", LLAMA | {"rope_scaling": rope})
    assert config.rotary_factor == rope["factor"]
    assert read_config("llama", LLAMA | {"rope_parameters": rope}) == config
    assert read_config("llama", write_config("llama", config)) == config


def test_gpt2_scores_divided_by_the_layer_become_factors_of_the_queries():
    scales = read_scales("gpt2", GPT2 | {"scale_attn_by_inverse_layer_idx": True})
    np.testing.assert_allclose(scales["blocks/attention/q"], [1, 1 / 2, 1 / 3])
