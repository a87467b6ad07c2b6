"""Inputs grow until branches are taken, within the types that the function answers."""

import ast
import random

from codex_jax.curate.execution import Call
from codex_jax.curate.problems import branches, growth


def grow(session, source, seeds=(), most=36, recorded=None):
    node = ast.parse(source).body[0]
    program = branches.instrument(source, node.name)
    return growth.Growth(session, program, node, random.Random(0), recorded).grow(seeds, most)


def test_branches_that_only_constants_of_the_source_reach(session):
    source = """def f(text):
    if text == "secret":
        return 1
    if text.startswith("px"):
        return 2
    return 3
"""
    grown = grow(session, source, [Call(("secrets",), {}), Call(("abc",), {})])
    assert {case.value for case in grown.cases} == {1, 2, 3}
    assert grown.branch_coverage == 1.0
    assert all(type(case.call.arguments[0]) is str for case in grown.cases)


def test_values_are_made_where_there_are_no_calls(session):
    source = """def f(width: int, names: list[str], *, deep=False):
    return [name * width for name in names] + [deep]
"""
    grown = grow(session, source)
    assert len(grown.cases) == 36
    assert any("deep" in case.call.named for case in grown.cases)


def test_all_types_of_a_union_are_tried_and_constants_of_the_source(session):
    source = """def f(unit: int | str) -> float:
    if isinstance(unit, int):
        return unit / 2
    if unit == "mm":
        return 72 / 25.4
    if unit == "inch":
        return 72.0
    raise ValueError(unit)
"""
    grown = grow(session, source)
    assert {type(case.call.arguments[0]) for case in grown.cases} == {int, str}
    assert grown.branch_coverage >= 5 / 6


def test_recorded_calls_come_first_and_others_than_their_outputs_are_dropped(session):
    source = "def f(x):\n    return x + 1\n"
    calls = [Call((n,), {}) for n in (5, 6, 7, 8)]
    recorded = {"(5)": 6, "(6)": 999}
    grown = grow(session, source, calls, most=4, recorded=recorded)
    assert grown.cases[0].call == Call((5,), {})
    assert grown.cases[0].is_recorded
    assert Call((6,), {}) not in [case.call for case in grown.cases]


def test_a_function_that_answers_nothing_plain_has_no_cases(session):
    grown = grow(session, "def f(x):\n    raise KeyError(x)\n")
    assert grown.cases == []
    grown = grow(session, "def f(x):\n    return object()\n")
    assert grown.cases == []


def test_no_single_output_takes_over(session):
    grown = grow(session, "def f(n: int):\n    return n > 100\n")
    outputs = [case.value for case in grown.cases]
    assert 4 <= len(outputs) <= 14
    assert {True, False} == set(outputs)


def test_echoes_of_arguments_are_few(session):
    source = """def f(text: str) -> str:
    return text.replace("$", "!").replace("&", "+")
"""
    grown = grow(session, source, [Call(("a$b",), {}), Call(("x&",), {})])
    echoes = [case for case in grown.cases if growth.is_echo(case)]
    assert len(echoes) <= 7
    assert len(grown.cases) > 2 * len(echoes)


def test_what_fits_a_signature():
    arguments = ast.parse("def f(a, /, b, *c, d, e=1): pass").body[0].args
    fitting = [
        Call((1, 2), {"d": 1}),
        Call((1, 2, 3, 4), {"d": 1, "e": 2}),
        Call((1,), {"b": 1, "d": 2}),
    ]
    unfit = [
        Call((1,), {"d": 1}),
        Call((1, 2), {}),
        Call((1, 2), {"d": 1, "z": 1}),
        Call((1, 2), {"b": 1, "d": 1}),
    ]
    assert [growth.fits(arguments, call) for call in fitting + unfit] == [True] * 3 + [False] * 4
    names = [parameter.arg for parameter, _ in growth.parameters(arguments)]
    assert names == ["a", "b", "d", "e"]
