"""Outcomes on probes: faults, and keys of equal states."""

import pytest

from codex_jax.evaluate.sandbox.guest.value_codec import Opaque
from codex_jax.evaluate.select.examples import Example
from codex_jax.records import Answer, Run
from codex_jax.solve.outcomes import Outcome, find_fault, is_open, make_key, read_outcomes
from codex_jax.solve.statements import OPEN


def outcome(**variables):
    return Outcome(variables=variables)


def test_answers_are_variables_values_or_exceptions():
    answers = [Answer((OPEN, {"a": 1})), Answer(5, [[1]]), Answer(error="ValueError: no")]
    rows = read_outcomes(Run([*answers, Answer((OPEN, 1))], 0.0), is_final=False)
    assert rows == [
        outcome(a=1),
        Outcome(value=5, arguments=[[1]]),
        Outcome(error="ValueError"),
        Outcome(value=(OPEN, 1)),
    ]
    assert is_open(rows)
    assert not is_open(rows[1:])


def test_a_final_program_may_return_what_looks_like_variables():
    rows = read_outcomes(Run([Answer((OPEN, {"a": 1}))], 0.0), is_final=True)
    assert rows == [Outcome(value=(OPEN, {"a": 1}))]
    assert find_fault(rows, EXAMPLES, 1) == "against_examples"


EXAMPLES = {0: Example([1], 2)}


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ([Outcome(value=2), Outcome(error="ValueError")], ""),
        ([outcome(a=1), Outcome(value=9)], ""),
        ([Outcome(value=3), Outcome(value=9)], "against_examples"),
        ([Outcome(), Outcome()], "empty"),
        ([Outcome(error="ValueError"), Outcome(value=9)], "raised"),
        ([Outcome(error="ValueError")] * 2, "raised"),
        ([Outcome(value=2)], "ended"),
        ([], "ended"),
    ],
)
def test_faults(outcomes, reason):
    assert find_fault(outcomes, EXAMPLES, 2) == reason


def test_without_examples_one_probe_may_raise():
    assert find_fault([Outcome(error="KeyError"), Outcome(value=1)], {}, 2) == ""
    assert find_fault([Outcome(error="KeyError")] * 2, {}, 2) == "raised"


def key(*outcomes, parameters=("s",), passing=(), text="text"):
    return make_key(outcomes, parameters, passing, text)


def test_states_are_equal_up_to_the_names_of_variables():
    assert key(outcome(s=1, a=2, b=3)) == key(outcome(s=1, x=3, y=2))
    assert key(outcome(s=1, a=2)) != key(outcome(s=2, a=1)), "a parameter has its name"
    assert key(outcome(s=1, a=2)) != key(outcome(s=1, a=2.0))
    assert key(outcome(s=1, a=2)) != key(outcome(s=1, a=2, b=2))
    assert key(outcome(s=1, a=2), outcome(s=3, a=4)) != key(outcome(s=1, a=4), outcome(s=3, a=2))


def test_a_changed_argument_is_another_state():
    assert key(outcome(s=[1, 2])) != key(outcome(s=[2, 1]))
    assert key(Outcome(value=1)) != key(Outcome(value=1, arguments=[[]]))


def test_variables_of_loops_that_ended_dont_count():
    assert key(outcome(s=1, i=5), passing={"i"}) == key(outcome(s=1, v=6), passing={"v"})


def test_what_isnt_plain_data_equals_that_of_the_same_text_alone():
    helper = outcome(s=1, helper=Opaque("function"))
    assert key(helper, text="a") == key(helper, text="a")
    assert key(helper, text="a") != key(helper, text="b")
