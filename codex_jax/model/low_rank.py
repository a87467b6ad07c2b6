"""A frozen weight with a product of two narrow matrices beside it (LoRA, arXiv 2106.09685).

Only the narrow matrices have gradients. In float32 x is multiplied by the sum of the weight and
their product, which is made anew for each batch: a pass over the weight takes less time than two
products of all tokens with narrow matrices and two additions. In other dtypes the sum would round
small updates away, so x is multiplied by the weight and by the narrow matrices apart.

qwix has such adapters too. It makes them by intercepting the products of a module that it rewrites,
and keeps them in the module's variables; here weights are plain trees of arrays, which a block
takes as they are, and one branch of the product that all weights pass through is enough.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from codex_jax.model.linear import input_gradient, linear, product, weight_gradient


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
    frozen, down, up = (w.astype(x.dtype) for w in (weight.weight, weight.down, weight.up))
    if x.dtype == jnp.float32:
        return _einsum_of_sum(equation, weight.scale, x, frozen, down, up)
    through_down, through_up = _narrow_equations(equation)
    update = linear(through_up, linear(through_down, x, down), up)
    y = linear(equation, x, jax.lax.stop_gradient(frozen))
    return y + jnp.asarray(weight.scale, x.dtype) * update


def _narrow_equations(equation: str) -> tuple[str, str]:
    """Returns the equations of the products with `down` and then with `up`."""
    inputs, out = equation.split("->")
    x, weight = inputs.split(",")
    contracted = "".join(axis for axis in weight if axis in x)
    narrow = "".join(axis for axis in x if axis not in contracted) + "R"
    return f"{x},{contracted}R->{narrow}", f"{narrow},R{weight.removeprefix(contracted)}->{out}"


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _einsum_of_sum(
    equation: str, scale: float, x: Array, weight: Array, down: Array, up: Array
) -> Array:
    """Computes the einsum of x and the sum of the weight and the scaled product."""
    return product(equation, x, _sum(scale, weight, down, up))


def _sum(scale: float, weight: Array, down: Array, up: Array) -> Array:
    return weight + scale * jnp.tensordot(down, up, 1)


def _forward(equation, scale, *factors):
    return _einsum_of_sum(equation, scale, *factors), factors


def _backward(equation, scale, factors, d_out):
    """Gradients by x, `down` and `up`; the weight has none."""
    x, weight, down, up = factors
    through_down, through_up = _narrow_equations(equation)
    d_x = input_gradient(equation, d_out, _sum(scale, weight, down, up))
    d_narrow = scale * input_gradient(through_up, d_out, up)
    d_down = weight_gradient(through_down, x, d_narrow, down.shape)
    narrow = scale * product(through_down, x, down)
    d_up = weight_gradient(through_up, narrow, d_out, up.shape)
    return d_x, None, d_down, d_up


_einsum_of_sum.defvjp(_forward, _backward)
