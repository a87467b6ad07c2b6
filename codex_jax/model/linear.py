"""Products of x and a weight, arranged for one CPU where they run on one.

einsum's own derivative computes a weight's gradient transposed and transposes it back, which XLA on
a CPU folds into a product of two transposed matrices, at two thirds of the rate of others. In f32
the rows of x are one axis besides, and so are a weight's outputs where x's gradient is computed: of
a product over two axes XLA first copies an array transposed.

bfloat16 numbers are multiplied by a CPU's matrix units (AMX) only where XLA leaves the product in
bfloat16: it must yield f32, which is rounded afterwards, and neither side may be transposed in
place. So the rows are two axes there, of which the copy is made. Where a CPU has no such units, its
product of bfloat16 takes up to twice as long as f32's, so both sides are converted.
"""

import functools
import math
import pathlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def is_one_cpu() -> bool:
    """Whether this process has one CPU device; it may still compile for others."""
    return jax.default_backend() == "cpu" and jax.device_count() == 1


@functools.cache
def has_bfloat16_units(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether this CPU has matrix units for bfloat16, by the flags in Linux's file `cpuinfo`."""
    try:
        return "amx_bf16" in pathlib.Path(cpuinfo).read_text("utf-8").split()
    except OSError:
        return False


def product(equation: str, x: Float[Array, "..."], y: Float[Array, "..."]) -> Array:
    """Computes an einsum in x's dtype, with sums in f32."""
    einsum = functools.partial(jnp.einsum, equation)
    if x.dtype != jnp.bfloat16 or not is_one_cpu() or not has_bfloat16_units():
        return einsum(x, y)

    def round_product(x, y):
        return product_in_f32(equation, x, y).astype(x.dtype)

    return jax.lax.platform_dependent(x, y, cpu=round_product, default=einsum)


def product_in_f32(equation: str, x: Float[Array, "..."], y: Float[Array, "..."]) -> Array:
    """Computes an einsum in f32 of numbers in f32 or bfloat16."""
    einsum = functools.partial(jnp.einsum, equation, preferred_element_type=jnp.float32)
    if x.dtype != jnp.bfloat16 or not is_one_cpu() or has_bfloat16_units():
        return einsum(x, y)

    def convert(x, y):
        return einsum(x.astype(jnp.float32), y.astype(jnp.float32))

    return jax.lax.platform_dependent(x, y, cpu=convert, default=einsum)


def sum_outer(x: Float[Array, "R I"], y: Float[Array, "R O"]) -> Float[Array, "I O"]:
    """Σ of the outer products of the rows of x and y, in f32."""
    einsum = functools.partial(product_in_f32, "RI,RO->IO")
    if not is_one_cpu():
        return einsum(x, y)
    return jax.lax.platform_dependent(x, y, cpu=_sum_outer_on_cpu, default=einsum)


def _sum_outer_on_cpu(x: Float[Array, "R I"], y: Float[Array, "R O"]) -> Float[Array, "I O"]:
    if x.dtype != jnp.bfloat16 or not has_bfloat16_units() or len(x) % 2:
        return product_in_f32("IR,RO->IO", x.T, y)
    halves = (rows.reshape(2, -1, rows.shape[1]) for rows in (x, y))
    return product_in_f32("BRI,BRO->IO", *halves)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def linear(equation: str, x: Float[Array, "..."], weight: Float[Array, "..."]) -> Array:
    """Computes the einsum "RI,IO->RO", where R, I and O are any number of letters each."""
    return product(equation, x, weight)


def _forward(equation, x, weight):
    return product(equation, x, weight), (x, weight)


def _backward(equation, residuals, d_out):
    x, weight = residuals
    d_x = input_gradient(equation, d_out, weight)
    return d_x, weight_gradient(equation, x, d_out, weight.shape)


linear.defvjp(_forward, _backward)


def input_gradient(equation: str, d_out: Float[Array, "..."], weight: Float[Array, "..."]) -> Array:
    """Computes the gradient by x of `linear`, from that of its result."""
    inputs, out = equation.split("->")
    x_axes, weight_axes = inputs.split(",")
    by_axes = functools.partial(product, f"{out},{weight_axes}->{x_axes}")
    outputs = sum(axis in out for axis in weight_axes)
    if not is_one_cpu() or d_out.dtype == jnp.bfloat16:
        return by_axes(d_out, weight)

    def by_rows(d_out, weight):
        rows = d_out.reshape(-1, math.prod(weight.shape[-outputs:]))
        d_x = product("RO,IO->RI", rows, weight.reshape(-1, rows.shape[1]))
        return d_x.reshape(*d_out.shape[:-outputs], *weight.shape[:-outputs])

    return jax.lax.platform_dependent(d_out, weight, cpu=by_rows, default=by_axes)


def weight_gradient(
    equation: str, x: Float[Array, "..."], d_out: Float[Array, "..."], shape: tuple[int, ...]
) -> Array:
    """Computes a weight's gradient, of its shape, from x and the gradient of `linear`'s result."""
    inputs, out = equation.split("->")
    x_axes, weight_axes = inputs.split(",")
    width = math.prod(x.shape[x_axes.index(weight_axes[0]) :])  # of x's axes that the weight has

    def by_rows(x, d_out):
        rows = x.reshape(-1, width)
        d_weight = _sum_outer_on_cpu(rows, d_out.reshape(len(rows), -1))
        return d_weight.astype(x.dtype).reshape(shape)

    by_axes = functools.partial(jnp.einsum, f"{x_axes},{out}->{weight_axes}")
    if not is_one_cpu():  # one axis of rows can't stay sharded as two are
        return by_axes(x, d_out)
    return jax.lax.platform_dependent(x, d_out, cpu=by_rows, default=by_axes)
