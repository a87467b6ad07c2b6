"""Mutants have the types of what they come from, and differ from it."""

import random

import hypothesis
from hypothesis import strategies as st

from codex_jax.curate.execution import Call
from codex_jax.curate.inputs import literals, mutation
from tests.curate.test_literals import VALUES


@hypothesis.given(VALUES, st.integers(0, 1 << 16))
def test_types_stay(value, seed):
    hypothesis.assume(literals.is_plain(value))
    changed = mutation.change(value, random.Random(seed), ["px", 7, 1.5])
    assert type(changed) is type(value)


def test_mutants_reach_constants_of_the_source():
    rng = random.Random(0)
    call = Call(("abc", 3), {"flag": True})
    mutants = [mutation.mutate(call, rng, ["px", 42]) for _ in range(400)]
    assert any(mutant.arguments[1] == 42 for mutant in mutants)
    assert any("px" in mutant.arguments[0] for mutant in mutants)
    assert any(mutant.named == {"flag": False} for mutant in mutants)
    assert all(len(mutant.arguments) == 2 for mutant in mutants)
    assert call == Call(("abc", 3), {"flag": True})


def test_a_call_without_arguments_stays():
    assert mutation.mutate(Call((), {}), random.Random(0), []) == Call((), {})
    assert mutation.change({}, random.Random(0), []) == {}
    assert mutation.change([], random.Random(0), []) == []
    assert mutation.change(None, random.Random(0), []) is None
