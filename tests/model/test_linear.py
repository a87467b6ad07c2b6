"""linear and sum_outer: values and derivatives of einsum, as one CPU multiplies fast."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax.model import linear as products
from codex_jax.model.linear import has_bfloat16_units, linear, product_in_f32, sum_outer


@pytest.fixture(params=[True, False], ids=["units", "no units"])
def has_units(request, monkeypatch):
    """Whether this CPU is taken for one that has matrix units for bfloat16."""
    monkeypatch.setattr(products, "has_bfloat16_units", lambda: request.param)
    return request.param


@pytest.mark.usefixtures("has_units")
@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("equation", ["BTD,DF->BTF", "BTD,DNH->BTNH", "BTNH,NHD->BTD"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_value_and_gradients_are_those_of_einsum(equation, dtype, devices, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    sizes = {"B": 2, "T": 5, "D": 6, "F": 7, "N": 3, "H": 4}
    axes = equation.split("->")[0].split(",")
    arrays = [
        jax.random.normal(jax.random.key(n), [sizes[letter] for letter in letters], dtype)
        for n, letters in enumerate(axes)
    ]

    def loss(product):
        return lambda *arrays: jnp.sum(jnp.sin(product(equation, *arrays).astype(jnp.float32)))

    result, expected = (
        jax.value_and_grad(loss(product), argnums=(0, 1))(*arrays)
        for product in (linear, jnp.einsum)
    )
    assert [g.dtype for g in result[1]] == [dtype, dtype]
    for a, b in zip(*map(jax.tree.leaves, (result, expected)), strict=True):
        reference = np.asarray(b, np.float32)
        # Sums of bf16 round as the compiler orders them: a hundredth of the largest.
        rounding = 1e-5 if dtype == jnp.float32 else 1e-2 * np.abs(reference).max()
        np.testing.assert_allclose(np.asarray(a, np.float32), reference, rtol=1e-2, atol=rounding)


def test_one_cpu_copies_nothing_for_the_gradient_of_a_weight(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    x, d_out = jnp.ones((2, 64, 48)), jnp.ones((2, 64, 96))
    weight = jnp.ones((48, 96))

    def compiled(product):
        def gradient(x, d_out):
            return jax.vjp(lambda weight: product("BTD,DF->BTF", x, weight), weight)[1](d_out)

        return jax.jit(gradient).lower(x, d_out).compile().as_text()

    copies = (" copy(", " transpose(")
    assert not any(name in compiled(linear) for name in copies)
    assert any(name in compiled(jnp.einsum) for name in copies)  # what the test looks for exists


def test_one_cpu_copies_nothing_for_the_gradient_of_x(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    x, d_out, weight = jnp.ones((2, 64, 48)), jnp.ones((2, 64, 4, 24)), jnp.ones((48, 4, 24))

    def compiled(product):
        def gradient(d_out, weight):
            return jax.vjp(lambda x: product("BTD,DNH->BTNH", x, weight), x)[1](d_out)

        return jax.jit(gradient).lower(d_out, weight).compile().as_text()

    copies = (" copy(", " transpose(")
    assert not any(name in compiled(linear) for name in copies)
    assert any(name in compiled(jnp.einsum) for name in copies)


@pytest.mark.usefixtures("has_units")
@pytest.mark.parametrize("rows", [128, 127])
def test_a_sum_of_outer_products_is_that_of_einsum(rows, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    x, y = (jax.random.normal(jax.random.key(n), (rows, n), jnp.bfloat16) for n in (24, 48))
    result = sum_outer(x, y)
    assert result.dtype == jnp.float32
    expected = jnp.einsum("RI,RO->IO", x.astype(jnp.float32), y.astype(jnp.float32))
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)


def product_types(function, platform, devices, monkeypatch):
    """(type of both sides, type of the result) of each product that a platform gets."""
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    x, weight = jnp.ones((2, 64, 48), jnp.bfloat16), jnp.ones((48, 96), jnp.bfloat16)

    def traced(x, weight):  # anew in each test
        return function(x, weight)

    lowered = jax.jit(traced).trace(x, weight).lower(lowering_platforms=(platform,))
    lines = [line for line in lowered.as_text().splitlines() if "dot_general" in line]
    types = [re.findall(r"x(bf16|f32)>", line) for line in lines]
    assert all(left == right for left, right, _ in types)
    return [(left, result) for left, _, result in types]


def gradients(x, weight):
    """A product's gradients by both sides."""
    y, backward = jax.vjp(lambda x, weight: linear("BTD,DF->BTF", x, weight), x, weight)
    return backward(y)


def test_one_cpu_multiplies_bfloat16_by_the_units_that_it_has(has_units, monkeypatch):
    value, d_x, d_weight = product_types(gradients, "cpu", 1, monkeypatch)
    result = "f32" if has_units else "bf16"  # which XLA computes from sides that it converts
    assert value == d_x == ("bf16", result)
    assert d_weight == ("bf16" if has_units else "f32", "f32")


@pytest.mark.usefixtures("has_units")
@pytest.mark.parametrize(("platform", "devices"), [("tpu", 1), ("cuda", 1), ("tpu", 8), ("cpu", 8)])
def test_others_get_products_of_bfloat16(platform, devices, monkeypatch):
    types = product_types(gradients, platform, devices, monkeypatch)
    assert types == [("bf16", "bf16")] * 3


def test_a_product_in_f32_converts_what_one_cpu_has_no_units_for(has_units, monkeypatch):
    multiply = functools.partial(product_in_f32, "BTD,DF->BTF")
    side = "bf16" if has_units else "f32"
    assert product_types(multiply, "cpu", 1, monkeypatch) == [(side, "f32")]
    assert product_types(multiply, "tpu", 1, monkeypatch) == [("bf16", "f32")]


@pytest.mark.parametrize(
    ("flags", "expected"), [("amx_bf16 amx_tile", True), ("avx512_bf16", False), ("", False)]
)
def test_units_are_read_from_the_flags_of_the_cpu(flags, expected, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\n", "utf-8")
    assert has_bfloat16_units(str(cpuinfo)) is expected
    assert not has_bfloat16_units(str(tmp_path / "missing"))


def test_one_cpu_copies_bfloat16_rows_before_it_sums_them(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    monkeypatch.setattr(products, "has_bfloat16_units", lambda: True)
    x, y = jnp.ones((128, 48), jnp.bfloat16), jnp.ones((128, 96), jnp.bfloat16)
    compiled = jax.jit(sum_outer).lower(x, y).compile().as_text()
    lines = [line for line in compiled.splitlines() if " dot(" in line]
    assert len(lines) == 1
    assert "lhs_contracting_dims={1}, rhs_contracting_dims={0}" in lines[0]
