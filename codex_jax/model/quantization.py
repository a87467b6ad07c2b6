"""8-bit integers: weights with a scale for each output, keys and values for each position.

Weights are quantized, not activations (weight-only, with LLM.int8()'s vector-wise scales but
without its outliers, Dettmers et al. 2022): a step of sampling reads a quarter of f32's bytes. The
product is computed from the integers and scaled afterwards, so no dequantized weight is stored.

qwix has such arrays too, but its product with a floating activation scales the weight first, and
its einsum can't take a cache whose values have their scale along the contracted axis.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from codex_jax.model.linear import linear, product, product_in_f32
from codex_jax.model.low_rank import LowRank, low_rank_einsum

# Axes over which a product with a layer's weight sums, by name: the others are outputs.
CONTRACTED_AXES: dict[str, int | tuple[int, ...]] = {
    "q": 0,
    "k": 0,
    "v": 0,
    "out": (0, 1),
    "up": 0,
    "gate": 0,
    "down": 0,
    "embedding": 1,
    "unembedding": 0,
}


class Int8(NamedTuple):
    """Quantized numbers: `values` times `scale`, which lacks the axes that share a scale."""

    values: Int[Array, "..."]
    scale: Float[Array, "..."]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the quantized array."""
        return self.values.shape

    def dequantize(self, axis: int | tuple[int, ...], dtype) -> Float[Array, "..."]:
        """Converts to floats; `axis` as in `quantize`."""
        scale = jnp.expand_dims(self.scale, axis)
        return (self.values.astype(jnp.float32) * scale).astype(dtype)


def quantize(x: Float[Array, "..."], axis: int | tuple[int, ...]) -> Int8:
    """Rounds x to 255 levels, with one scale for all numbers along `axis`; error ≤ half a level."""
    levels, scale = round_to_levels(x, axis)
    return Int8(levels.astype(jnp.int8), jnp.squeeze(scale, axis))


def round_to_levels(x: Float[Array, "..."], axis: int | tuple[int, ...]) -> tuple[Array, Array]:
    """(levels of -127 to 127, scale that keeps `axis` as axes of size 1), both in f32."""
    x = x.astype(jnp.float32)
    tiny = jnp.finfo(jnp.float32).tiny
    scale = jnp.maximum(jnp.abs(x).max(axis=axis, keepdims=True), tiny) / 127
    return jnp.round(x / scale), scale


def quantized_einsum(
    equation: str, x: Float[Array, "..."], weight: Array | Int8 | LowRank, *, in_f32: bool = False
) -> Array:
    """Computes an einsum of x and a weight in x's dtype or f32; scales int8's outputs in f32."""
    if isinstance(weight, LowRank):
        return low_rank_einsum(equation, x, weight)
    if not isinstance(weight, Int8):
        multiply = product_in_f32 if in_f32 else linear
        return multiply(equation, x, weight.astype(x.dtype))
    multiply = product_in_f32 if in_f32 else product
    y = multiply(equation, x, weight.values.astype(x.dtype))
    return (y.astype(jnp.float32) * weight.scale).astype(y.dtype)


def embed_lookup(
    table: Float[Array, "V D"] | Int8, ids: Int[Array, "..."], dtype
) -> Float[Array, "... D"]:
    """Rows of an embedding, in `dtype`."""
    if isinstance(table, Int8):
        return Int8(table.values[ids], table.scale[ids]).dequantize(-1, dtype)
    return table.astype(dtype)[ids]
