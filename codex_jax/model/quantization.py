"""Numbers of eight bits: weights with a scale for each output, keys and values for each position.

Weights are kept, not activations (weight-only, as LLM.int8()'s vector-wise scales without its
outliers, Dettmers et al. 2022): a step of sampling reads a quarter of f32's bytes, and the product
is of the integers, scaled afterwards, so that nothing as large as a weight is ever multiplied.

qwix has such arrays too; its product with a floating activation scales the weight before, and a
cache whose values have their scale along the summed axis is beyond its einsum.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from codex_jax.model.linear import linear

# Axes over which a layer's weight is summed, by name: its other axes are outputs.
SUMMED = {
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
    """`values` times `scale`, which lacks the axes that share one."""

    values: Int[Array, "..."]
    scale: Float[Array, "..."]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def restored(self, axis: int | tuple[int, ...], dtype) -> Float[Array, "..."]:
        """The numbers that it stands for; `axis` as it was quantised."""
        scale = jnp.expand_dims(self.scale, axis)
        return (self.values.astype(jnp.float32) * scale).astype(dtype)


def quantise(x: Float[Array, "..."], axis: int | tuple[int, ...]) -> Int8:
    """x rounded to 255 steps of one size for all that lie along `axis`: within half a step."""
    x = x.astype(jnp.float32)
    scale = jnp.maximum(jnp.abs(x).max(axis=axis), jnp.finfo(jnp.float32).tiny) / 127
    return Int8(jnp.round(x / jnp.expand_dims(scale, axis)).astype(jnp.int8), scale)


def product(equation: str, x: Float[Array, "..."], weight: Array | Int8, **options) -> Array:
    """einsum of x and a weight in x's dtype; an int8 weight's outputs are scaled in f32."""
    if not isinstance(weight, Int8):
        weight = weight.astype(x.dtype)
        return (
            jnp.einsum(equation, x, weight, **options) if options else linear(equation, x, weight)
        )
    y = jnp.einsum(equation, x, weight.values.astype(x.dtype), **options)
    return (y.astype(jnp.float32) * weight.scale).astype(y.dtype)


def rows(table: Array | Int8, ids: Int[Array, "..."], dtype) -> Float[Array, "... D"]:
    """Rows of an embedding."""
    if isinstance(table, Int8):
        return Int8(table.values[ids], table.scale[ids]).restored(-1, dtype)
    return table.astype(dtype)[ids]
