"""Programs answer calls with plain values, in sandboxes with hash seeds of their own."""

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner


@pytest.fixture(scope="module")
def session(isolation):
    with ProgramRunner(sandbox=isolation, timeout_s=1.0).open(2) as opened:
        yield opened


def test_values_changed_arguments_and_exceptions(session):
    source = "def f(x, add=0):\n    x.append(add)\n    return {len(x): 1 / add}\n"
    calls = [(([1],), {"add": 2}), (([],), {}), (([],), {"add": 1})]
    run = session.run(source, "f", calls)
    assert run.answers[0] == records.Answer({2: 0.5}, [[1, 2]])
    assert run.answers[1].error == "ZeroDivisionError: division by zero"
    assert run.answers[2].value == {1: 1.0}
    assert run.reason == ""


def test_several_programs_get_the_same_calls(session):
    """Calls are encoded once for one sequence; each program has arguments of its own."""
    calls = [(([1],), {}), (([2],), {})]
    for source in ("def f(x):\n    x.clear()\n    return 0\n", "def f(x):\n    return x[0]\n"):
        answers = session.run(source, "f", calls).answers
    assert [answer.value for answer in answers] == [1, 2]
    others = [(([3],), {})]
    assert [a.value for a in session.run(source, "f", others).answers] == [3]


@pytest.mark.parametrize("text", ["\ud800\udc00", "\U00010000", "\ud800", "é\u2028\n\x00"])
def test_surrogates_stay_as_they_are(session, text):
    """In JSON's escapes two lone surrogates are one character."""
    run = session.run(f"def f():\n    return {text!a}\n", "f", [((), {})])
    assert run.answers == [records.Answer(text)]


def test_iterators_become_lists(session):
    run = session.run("def f(n):\n    return iter(range(n))\n", "f", [((3,), {})])
    assert run.answers == [records.Answer([0, 1, 2])]


ANSWERS = """
class Pair(tuple):
    def __new__(cls, a, b):
        return tuple.__new__(cls, (a, b))
class Namespace(dict):
    def __getattr__(self, name):
        return self.setdefault(name, Namespace())
def f(kind, x):
    if kind == "cyclic":
        x.append(x)
    elif kind == "changed":
        x[0].append(3)
    elif kind == "pair":
        return Pair(*x)
    elif kind == "namespace":
        return Namespace(a=x)
    return iter(x) if kind == "iterator" else x
"""


@pytest.mark.parametrize(
    ("kind", "argument", "value"),
    [
        ("itself", (1, (2, "a")), (1, (2, "a"))),
        ("itself", [(1, 2), [(3,)]], [(1, 2), [(3,)]]),
        ("itself", {(1, 2): frozenset({3})}, {(1, 2): frozenset({3})}),
        ("iterator", [(1, 2), [3]], [(1, 2), [3]]),
        ("pair", (1, [2]), (1, [2])),  # a class whose instances can't be copied
        ("namespace", 1, {"a": 1}),  # a class that to copy an instance changes it
    ],
)
def test_answers_may_hold_what_the_call_has(session, kind, argument, value):
    run = session.run(ANSWERS, "f", [((kind, argument), {})])
    assert run.answers == [records.Answer(value)]


def test_equal_rows_are_rows_of_their_own(session):
    """Equal lists in an argument are separate objects, as in a test's text."""
    run = session.run(ANSWERS, "f", [(("changed", [[1, 2]] * 2), {})])
    assert run.answers[0].value == [[1, 2, 3], [1, 2]]
    assert run.answers[0].arguments == ["changed", [[1, 2, 3], [1, 2]]]


def test_a_list_in_itself_costs_one_answer(session):
    run = session.run(ANSWERS, "f", [((kind, [1]), {}) for kind in ("cyclic", "itself")])
    assert run.answers[0].error.startswith("RecursionError")
    assert run.answers[1].value == [1]


def test_hash_seeds_differ(session):
    source = "def f(x):\n    return hash(x)\n"
    values = [session.run(source, "f", [(("a",), {})], index=i).answers[0].value for i in (0, 1)]
    assert values[0] != values[1]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f(:\n", "SyntaxError"),
        ("def g(): pass\n", "NameError"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("import os\ndef f():\n    os._exit(3)\n", "ended early: closed, exit 3"),
        ("def f():\n    while True: pass\n", "ended early: cpu"),
        ("def f():\n    return bytearray(1 << 34)\n", ""),
    ],
)
def test_programs_that_give_no_answers_say_why(session, source, reason):
    run = session.run(source, "f", [((), {})])
    assert reason in run.reason
    assert not run.answers or run.answers[0].error.startswith("MemoryError")
    assert session.run("def f():\n    return 1\n", "f", [((), {})]).answers[0].value == 1


def test_what_cannot_be_sent_and_bad_settings(session):
    with pytest.raises(TypeError, match="plain data"):
        session.run("def f(x): pass\n", "f", [((object(),), {})])
    for settings in (
        {"timeout_s": 0},
        {"timeout_s": float("inf")},
        {"timeout_s": float("nan")},
        {"timeout_s": 1e12},
        {"memory_mb": 63},
        {"memory_mb": 10**15},
    ):
        with (
            pytest.raises(InputError, match=r"timeout_s=.*set them so"),
            ProgramRunner(**settings).open(),
        ):
            pass
