"""Int8 weights: the rounding's bound, products from integers, and shapes."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from codex_jax.model import DecoderConfig, abstract_params
from codex_jax.model.quantization import (
    CONTRACTED_AXES,
    Int8,
    embed_lookup,
    quantize,
    quantized_einsum,
)


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def test_known_numbers_are_rounded_to_their_largest_over_127():
    quantized = quantize(jnp.array([[127.0, -63.4, 0.2], [1.0, -2.0, 2.54]]), axis=1)
    np.testing.assert_array_equal(quantized.values, [[127, -63, 0], [50, -100, 127]])
    np.testing.assert_allclose(quantized.scale, [1.0, 0.02], rtol=1e-6)


@hypothesis.given(st.integers(0, 2**31), st.sampled_from([0, 1, 2, (0, 1), (1, 2), -1]))
@hypothesis.settings(max_examples=20)
def test_the_error_is_at_most_half_a_level(seed, axis):
    x = random(3, 4, 5, seed=seed)
    quantized = quantize(x, axis)
    error = jnp.abs(quantized.dequantize(axis, jnp.float32) - x)
    assert (error <= 0.5001 * jnp.expand_dims(quantized.scale, axis)).all()
    assert quantized.shape == x.shape


def test_zeros_stay_zeros():
    quantized = quantize(jnp.zeros((4, 3)), axis=0)
    np.testing.assert_array_equal(quantized.dequantize(0, jnp.float32), 0)


@pytest.mark.parametrize(
    ("equation", "shapes", "axis"),
    [
        ("BTD,DF->BTF", [(2, 3, 8), (8, 5)], 0),
        ("BTD,DNH->BTNH", [(2, 3, 8), (8, 2, 4)], 0),
        ("BTAH,AHD->BTD", [(2, 3, 2, 4), (2, 4, 8)], (0, 1)),
        ("BTD,VD->BTV", [(2, 3, 8), (6, 8)], 1),
    ],
)
def test_a_product_is_that_of_the_dequantized_weight(equation, shapes, axis):
    x, weight = (random(*shape, seed=n) for n, shape in enumerate(shapes))
    quantized = quantize(weight, axis)
    expected = jnp.einsum(equation, x, quantized.dequantize(axis, jnp.float32))
    actual = quantized_einsum(equation, x, quantized)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_a_product_without_quantization_has_the_dtype_of_its_input():
    x, weight = random(2, 3, 8), random(8, 5)
    rough = quantized_einsum("BTD,DF->BTF", x.astype(jnp.bfloat16), weight)
    assert rough.dtype == jnp.bfloat16
    logits = quantized_einsum("BTD,DF->BTF", x.astype(jnp.bfloat16), weight, in_f32=True)
    assert logits.dtype == jnp.float32


def test_a_product_stores_no_dequantized_weight():
    weight = quantize(random(64, 64), axis=0)
    product = jax.jit(lambda x, weight: quantized_einsum("BTD,DF->BTF", x, weight))
    text = product.lower(random(1, 1, 64), weight).as_text()
    multiplied = [line for line in text.splitlines() if "stablehlo.multiply" in line]
    assert multiplied
    assert not any("64x64xf32" in line for line in multiplied), "the weight itself was scaled"


def test_rows_of_an_embedding_are_dequantized_alone():
    table = random(7, 6)
    ids = jnp.array([[3, 0], [6, 3]])
    np.testing.assert_array_equal(embed_lookup(table, ids, jnp.float32), table[ids])
    quantized = quantize(table, CONTRACTED_AXES["embedding"])
    rows = embed_lookup(quantized, ids, jnp.bfloat16)
    assert rows.dtype == jnp.bfloat16
    expected = quantized.dequantize(1, jnp.bfloat16)[ids]
    np.testing.assert_array_equal(rows.astype(jnp.float32), expected.astype(jnp.float32))


def test_every_matrix_of_a_decoder_has_its_contracted_axes():
    config = DecoderConfig(
        vocab_size=90, layers=2, width=32, heads=4, activation="swiglu", tied=False
    )
    shapes, _ = abstract_params(config)
    blocks = shapes["blocks"]
    matrices = {**blocks["attention"], **blocks["mlp"]}
    names = {name for name, leaf in matrices.items() if len(leaf.shape) > 2 and "bias" not in name}
    assert names | {"embedding", "unembedding"} == set(CONTRACTED_AXES)


def test_an_int8_is_a_pytree_of_two_arrays():
    doubled = jax.tree.map(lambda x: x * 2, Int8(jnp.ones((2, 3), jnp.int8), jnp.ones((3,))))
    assert isinstance(doubled, Int8)
    np.testing.assert_array_equal(doubled.dequantize(0, jnp.float32), 4)
