"""A frozen weight with a product of two narrow matrices beside it (LoRA, arXiv 2106.09685).

The product is never added to the weight while it is trained: x passes through both, so that the
backward pass computes the gradients of the narrow matrices, and none of the weight.

qwix has such adapters too. It makes them by intercepting the products of a module that it rewrites,
and keeps them in the module's variables; here weights are plain trees of arrays, which a block
takes as they are, and one branch of the product that all weights pass through is enough.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from codex_jax.model.linear import linear


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["weight", "down", "up"], meta_fields=["scale"]
)
@dataclasses.dataclass(frozen=True)
class LowRank:
    """The weight plus `scale` times the product of `down` and `up`, of which R is the rank.

    Args:
      weight: (inputs, outputs), each of one axis or several; frozen.
      down: (inputs, R).
      up: (R, outputs).
      scale: Of the product.
    """

    weight: Float[Array, "..."]
    down: Float[Array, "..."]
    up: Float[Array, "..."]
    scale: float


def low_rank_einsum(equation: str, x: Float[Array, "..."], weight: LowRank) -> Array:
    """Computes the einsum "in,weight->out" of x and the sum, in x's dtype."""
    inputs, out = equation.split("->")
    x_axes, weight_axes = inputs.split(",")
    contracted = "".join(axis for axis in weight_axes if axis in x_axes)
    narrow = "".join(axis for axis in x_axes if axis not in contracted) + "R"
    outputs = weight_axes.removeprefix(contracted)
    frozen = jax.lax.stop_gradient(weight.weight).astype(x.dtype)
    y = linear(f"{x_axes},{contracted}R->{narrow}", x, weight.down.astype(x.dtype))
    y = linear(f"{narrow},R{outputs}->{out}", y, weight.up.astype(x.dtype))
    return linear(equation, x, frozen) + jnp.asarray(weight.scale, x.dtype) * y
