import jax
import numpy as np
import pytest
from tokenizers import pre_tokenizers

from codex_jax import InputError, checkpoint, model
from codex_jax.convert import hf_params
from codex_jax.convert.convert import import_weights
from codex_jax.model.rotary_scaling import rotary_divisors

gguf = pytest.importorskip("gguf")

SHAPE = {"vocab_size": 300, "layers": 2, "width": 32, "heads": 2, "kv_heads": 1}
SHAPE |= {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": False}
LLAMA3 = {"rotary_scaling": "llama3", "rotary_factor": 8.0, "rotary_original_length": 64}
LLAMA3 |= {"rotary_fast": 4.0}
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())


def make_config(**fields):
    return model.DecoderConfig(**SHAPE | fields, vocab_multiple=1, max_length=64, norm_eps=1e-5)


def write_gguf(path, architecture, config, params, *, pre="smollm", extra=None, keys=()):
    """A file by llama.cpp's own writer."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(config.layers)
    writer.add_embedding_length(config.width)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_size)
    writer.add_feed_forward_length(config.mlp_size)
    writer.add_context_length(config.max_length)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rotary_base)
    for name, value in keys:
        writer.add_uint32(name, value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(["<|endoftext|>", *ALPHABET, *(f"<{n}>" for n in range(43))])
    writer.add_token_types([3] + [1] * 256 + [4] + [3] * 42)
    writer.add_token_merges([])
    writer.add_eos_token_id(0)
    writer.add_eot_token_id(258)
    tensors = hf_params.write_params(f"gguf:{architecture}", config, params)
    for name, value in (tensors | (extra or {})).items():
        writer.add_tensor(name, np.asarray(value, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_params(config):
    params = jax.jit(model.init, static_argnums=0)(config, jax.random.key(0))
    keys = iter(jax.random.split(jax.random.key(1), 99))
    return jax.tree.map(lambda x: x + jax.random.normal(next(keys), x.shape) / 9, params)


def import_gguf(path):
    import_weights(
        source=str(path), output=str(path.parent / "c"), tokenizer=str(path.parent / "t.json")
    )
    card = checkpoint.read_card(path.parent / "c")
    return card, model.DecoderConfig.from_json(card.model)


@pytest.mark.parametrize(
    ("architecture", "fields"),
    [
        ("llama", {}),
        ("llama", {"qkv_bias": True, "out_bias": True, "mlp_bias": True}),
        ("qwen2", {"qkv_bias": True, "tied": False}),
        ("qwen3", {"qk_norm": True, "head_size": 24}),
    ],
    ids=["llama", "biases", "qwen2", "qwen3"],
)
def test_a_file_by_its_own_library_is_read(tmp_path, architecture, fields):
    config = make_config(**fields)
    params = make_params(config)
    write_gguf(tmp_path / "m.gguf", architecture, config, params)
    card, read_config = import_gguf(tmp_path / "m.gguf")
    assert (card.eos_ids, card.begin_ids, card.origin["family"]) == ([0, 258], [], architecture)
    read = checkpoint.restore_params(tmp_path / "c", model.abstract_params(read_config)[0])
    for name in {"embedding", "unembedding"} & read.keys():
        axis = int(name == "unembedding")
        read[name] = np.take(read[name], range(300), axis)
    jax.tree.map(np.testing.assert_array_equal, read, params)


def test_frequency_factors_are_llama_3s_scaling(tmp_path):
    config = make_config(**LLAMA3)
    factors = {"rope_freqs.weight": rotary_divisors(config)}
    plain, params = make_config(), make_params(config)
    write_gguf(tmp_path / "m.gguf", "llama", plain, params, pre="llama-bpe", extra=factors)
    _, read = import_gguf(tmp_path / "m.gguf")
    assert read.rotary_scaling == "llama3"
    np.testing.assert_allclose(rotary_divisors(read), rotary_divisors(config), rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"extra": {"rope_freqs.weight": np.linspace(1, 9, 8)}}, "rope_freqs.weight has factors"),
        ({"extra": {"blk.0.attn_q.bias": np.ones(32)}}, "no tensor blk.0.attn_k.bias"),
        ({"extra": {"blk.0.ffn_gate_inp.weight": np.ones(32)}}, "are read by no row"),
        ({"pre": "tekken"}, "splits words by 'tekken'"),
        ({"keys": [("llama.attention.sliding_window", 8)]}, "attention.sliding_window = 8"),
        ({"keys": [("llama.rope.dimension_count", 8)]}, "differs from the head size"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path, settings, message):
    config = make_config()
    write_gguf(tmp_path / "m.gguf", "llama", config, make_params(config), **settings)
    with pytest.raises(InputError, match=message):
        import_gguf(tmp_path / "m.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


def test_a_missing_gguf_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"none\.gguf: no such file"):
        import_weights(source=str(tmp_path / "none.gguf"), output=str(tmp_path / "c"))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"hello" * 99])
def test_a_foreign_or_cut_gguf_is_one_line(tmp_path, content):
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(InputError, match="not a complete GGUF file"):
        import_weights(source=str(tmp_path / "m.gguf"), output=str(tmp_path / "c"))
