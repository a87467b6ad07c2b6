"""Instrumented programs answer as before, and list the branches that a call took."""

import pytest

from codex_jax.curate.problems import branches
from tests.curate.conftest import load

PROGRAM = """
from __future__ import annotations
def f(x, y=0):
    "Doc."
    total = 0
    for n in range(x):
        total += n if n % 2 else -n
    while total > 10 and y:
        total //= 2
    try:
        total += 10 // y
    except ZeroDivisionError:
        total += len([n for n in range(x) if n > 2])
    match y:
        case 0:
            return total
        case _:
            return -total
"""


def test_branches_of_a_call():
    program = branches.instrument(PROGRAM, "f")
    call = load(program.source, program.entry_point)
    plain = load(PROGRAM, "f")
    taken = set()
    for arguments in [(0,), (3, 1), (5,), (40, 3), (40, 0), (1, 0)]:
        value, numbers = call(*arguments)
        assert value == plain(*arguments)
        taken |= set(numbers)
    assert len(taken) == program.branches == 12
    assert call(0)[1] == call(0)[1] != call(5)[1]


def test_a_generator_becomes_a_list():
    source = "def g(n):\n    while True:\n        yield n\n"
    program = branches.instrument(source, "g", is_generator=True)
    value, numbers = load(program.source, program.entry_point)(1)
    assert value == [1] * 1000
    assert numbers


@pytest.mark.parametrize("source", ["def f(x):\n    return x + 1\n", "f = lambda x: x\n"])
def test_a_program_without_branches(source):
    program = branches.instrument(source, "f")
    assert program.branches == 0
    assert load(program.source, program.entry_point)(1)[1] == []
