"""DecoderConfig: derived sizes, counts, and what it refuses."""

import jax
import pytest

from codex_jax import InputError
from codex_jax.model import DecoderConfig, abstract_params


def test_sizes_left_at_zero_are_derived():
    config = DecoderConfig(vocab_size=500, layers=2, width=64, heads=4)
    assert (config.kv_heads, config.head_size, config.mlp_size) == (4, 16, 256)
    assert config.padded_vocab == 512


def test_gpt3_small_has_85m_weights_outside_the_embedding():
    config = DecoderConfig(vocab_size=50_257, layers=12, width=768, heads=12)
    assert config.non_embedding_params == 12 * 12 * 768**2 == 84_934_656


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_the_count_is_that_of_the_matrices(activation):
    config = DecoderConfig(
        vocab_size=128, layers=3, width=32, heads=4, kv_heads=2, bias=False, activation=activation
    )
    blocks = abstract_params(config)[0]["blocks"]
    matrices = [leaf.size for leaf in jax.tree.leaves(blocks) if len(leaf.shape) > 2]
    assert sum(matrices) == config.non_embedding_params


def test_flops_are_six_per_weight_and_half_the_scores():
    config = DecoderConfig(vocab_size=128, layers=1, width=64, heads=4)
    weights = 12 * 64**2 + 128 * 64
    assert config.flops_per_token(10) == 6 * weights + 12 * 64 * 10 / 2


def test_json_round_trip_and_unknown_fields():
    config = DecoderConfig(vocab_size=500, layers=2, width=64, heads=4, norm="rmsnorm")
    assert DecoderConfig.from_json(config.to_json()) == config
    with pytest.raises(InputError, match="experts"):
        DecoderConfig.from_json(config.to_json() | {"experts": 8})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layers": 0}, "layers is 0"),
        ({"heads": 3, "kv_heads": 2}, "heads is 3, which 2 kv_heads"),
        ({"positions": "rotary", "head_size": 7}, "rotary_size is 7; expected an even"),
        ({"positions": "rotary", "rotary_size": 32}, "rotary_size is 32; expected an even"),
        ({"norm": "batchnorm"}, "'batchnorm'; expected 'layernorm' or 'rmsnorm'"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_impossible_shapes_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        DecoderConfig(**{"vocab_size": 100, "layers": 1, "width": 64, "heads": 4} | fields)
