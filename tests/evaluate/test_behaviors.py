"""Digests of replies, and behaviors."""

import pytest

from codex_jax.evaluate.select.behaviors import ENDED, Reply, digest, number_behaviors, run_program
from codex_jax.records import Answer, Run


class Session:
    """Answers as it is set up to."""

    def __init__(self, *answers: Answer):
        self.answers = list(answers)
        self.calls: list = []

    def run(self, source, entry_point, calls):
        self.calls = [source, entry_point, *calls]
        return Run(self.answers, 0.0)


CALLS = [((number,), {}) for number in (1, 2, 3, 4)]


def test_replies_of_a_program():
    session = Session(Answer([1, 2]), Answer(None), Answer(error="ValueError: no"))
    value, nothing, raised, ended = run_program(session, "source", "f", CALLS)
    assert session.calls == ["source", "f", *CALLS]
    assert (value.value, value.has_answer, value.is_value) == ([1, 2], True, True)
    assert (nothing.has_answer, nothing.is_value) == (True, False)
    assert (raised.digest, raised.has_answer) == ("raised ValueError", False)
    assert ended == Reply(None, ENDED)


def test_without_calls_nothing_runs():
    session = Session()
    assert run_program(session, "source", "f", []) == []
    assert session.calls == []


def test_changed_arguments_are_part_of_a_reply():
    session = Session(Answer(1, [[2]]), Answer(1, None))
    first, second = run_program(session, "source", "f", [(([1],), {})] * 2)
    assert first.digest != second.digest


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        (0.1 + 0.2, 0.3, True),
        ({"a": [0.1 + 0.2]}, {"a": [0.3]}, True),
        (1, 1.0, False),
        (1, True, False),
        ((1, 2), [1, 2], False),
        ({1, 2}, {2, 1}, True),
        ("a", "b", False),
        (float("nan"), float("nan"), True),
    ],
)
def test_digests(first, second, equal):
    assert (digest(first) == digest(second)) == equal


def test_what_is_no_plain_value_has_no_digest():
    assert digest([object()]) == ""


def test_behaviors_are_numbered_in_order():
    digests = {"x": ["a", "b"], "y": ["a", "c"], "z": ["a", "b"], "v": [], "w": []}
    assert number_behaviors(digests) == {"x": 0, "y": 1, "z": 0, "v": 2, "w": 3}


def test_the_order_of_sets_and_dicts_does_not_count():
    assert list({0, 8}) != list({8, 0})
    assert digest({0, 8}) == digest({8, 0})
    assert digest([{1: 2, 3: 4.0}]) == digest([{3: 4.0, 1: 2}])
    values = [{0, 8}, frozenset({0, 8}), {0, 9}, [0, 8], {0: 8}, {8: 0}, {0, 8.0}]
    assert len(set(map(digest, values))) == len(values)
    assert digest({object()}) == digest({object(): 1}) == ""
