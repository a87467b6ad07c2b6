"""Calls with literal arguments, wherever a package writes them down."""

from codex_jax.curate.execution import Call
from codex_jax.curate.inputs import call_sites
from tests.curate.conftest import package_of

TESTS = """
import pytest
from pkg import a

@pytest.mark.parametrize("text,count", [("x", 1), pytest.param("y", 2), (name, 3)])
def test_f(text, count):
    assert a.f(text, n=count) == 1

@pytest.mark.parametrize("item", ["p", "q"])
@pytest.mark.other(1)
def test_g(item):
    g(item)

def test_h():
    rows = [1, 2]
    rows2 = make()
    assert h(rows) and h(rows2) and h(*rows) and h((1, {"a": None}))
    again = 1
    again = 2
    h(again)
"""


def test_calls_in_tests():
    calls = call_sites.find_calls(package_of(test_a=TESTS))
    assert calls["f"] == [Call(("x",), {"n": 1}), Call(("y",), {"n": 2})]
    assert calls["g"] == [Call(("p",), {}), Call(("q",), {})]
    assert calls["h"] == [Call(([1, 2],), {}), Call(((1, {"a": None}),), {})]


def test_calls_in_doctests():
    doc = """Doubles.

    >>> x = 'ab'
    >>> f(x, times=2)
    'abab'
    >>> print(f(f('c')))
    >>> f(y) +
    """
    assert call_sites.find_doctests(doc)["f"] == [Call(("ab",), {"times": 2}), Call(("c",), {})]
    assert call_sites.find_doctests(">>> f(1)\n>>>f(2)\n") == {}  # malformed
    assert call_sites.find_doctests("no examples") == {}


def test_an_expression_of_a_thousand_operands_costs_its_module_alone():
    deep = "x = " + "+".join(["f(1)"] * 3000)
    calls = call_sites.find_calls(package_of(test_a=deep, test_b="g(1)\n"))
    assert calls["g"] == [Call((1,), {})]


def test_a_function_has_so_many_calls_at_most():
    text = "\n".join(f"f({n})" for n in range(500))
    assert len(call_sites.find_calls(package_of(a=text))["f"]) == 60
