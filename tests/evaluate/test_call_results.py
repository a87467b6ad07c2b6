"""Answers to calls: what a forged one can't do, and what an honest one does to the arguments."""

import builtins
import json
import time

import pytest

from codex_jax.evaluate.judging import call_results
from codex_jax.evaluate.judging.call_results import Caller, ProgramExited, UnserializableValue
from codex_jax.evaluate.sandbox.guest import program


def caller_of(*answers, find_class=lambda *_: None) -> Caller:
    """Calls a program that gives these answers, whatever it is called with."""
    left = [json.dumps(answer) for answer in answers]
    return Caller(lambda _: json.loads(left.pop(0)), find_class)


def raised(name, classes=(), args=(), attributes=(), message="m") -> dict:
    forms = [list(classes), {"tuple": list(args)}, {"dict": list(attributes)}]
    return {"raised": [name, name, message, None, forms]}


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"value": {"builtin": "exec"}},
        {"value": {"builtin": "__import__"}},
        {"value": {"namedtuple": ["P", ["__class__"], [1], True]}},
        {"value": {"namedtuple": ["P); import os; (", ["a"], [1], True]}},
        {"value": {"same": 99}},
        {"value": {"tuple": [{"same": 2}]}, "changed": []},
        {"value": {"iterator": "0; import os"}},
        {"value": {"dict": [[[1], 2]]}},
        {"value": {"deque": [-1, []]}},
        {"value": {"array": ["Q", [-1]]}},
        {"value": {"datetime": ["never", 0, None]}},
        {"value": None, "changed": [[], [], {"dict": []}, []]},
        {"value": None, "changed": [{"same": 0}] * 3},
        {"value": None, "changed": [[{"same": 1}], {"dict": []}, {"dict": []}]},
        {"raised": []},
        {"raised": "ValueError"},
        {"raised": ["ValueError", "ValueError", "m", None, []]},
        {"raised": ["ValueError", "ValueError", "m", None, [[["a"]], [], {}]]},
        raised("SystemExit"),
        raised("KeyboardInterrupt"),
        raised("GeneratorExit"),
        raised("MemoryError"),
    ],
    ids=str,
)
def test_a_forged_answer_ends_the_program(answer):
    caller = caller_of(answer, {"value": 1})
    with pytest.raises(ProgramExited):
        caller([3])
    with pytest.raises(ProgramExited):  # and no later answer counts, even if the test caught it
        caller([3])


@pytest.mark.parametrize("name", ["eval", "BaseException", "print", "no such name", "type"])
def test_an_exception_is_one_of_exceptions_only(name):
    with pytest.raises(call_results.ProgramError):
        caller_of(raised(name))()


def test_a_class_is_the_test_s_own_and_its_initializer_does_not_run():
    ran = []

    class OwnError(ValueError):
        def __init__(self, *_):
            ran.append(1)

    caller = caller_of(
        raised("ValueError", [["program", "OwnError"]], [7], [["code", 9], ["__class__", 1]]),
        find_class=lambda _, name: OwnError if name == "OwnError" else None,
    )
    with pytest.raises(OwnError) as caught:
        caller()
    assert caught.value.args == (7,)
    assert caught.value.code == 9
    assert type(caught.value) is OwnError
    assert not ran


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("KeyError", ("x",)),
        ("UnicodeDecodeError", ("ascii", b"\xff", 0, 1, "why")),
        ("OSError", (2, "no such file", "x")),
        ("StopIteration", (3,)),
        ("ZeroDivisionError", ()),
    ],
)
def test_builtin_exceptions_have_their_args(name, args):
    def fail():
        raise getattr(builtins, name)(*args)

    there = program.Caller(fail)
    with pytest.raises(getattr(builtins, name)) as caught:
        Caller(lambda call: json.loads(json.dumps(there.answer(call))), lambda *_: None)()
    expected = getattr(builtins, name)(*args)
    assert (caught.value.args, str(caught.value)) == (expected.args, str(expected))


def test_shared_lists_upon_lists_stay_small():
    """Each has the one before twice: as text it would be larger than the machine."""
    value: list = []
    for _ in range(200):
        value = [value, value]
    there = program.Caller(lambda: value)
    start = time.process_time()
    answer = there.answer('[[], {"dict": []}]')
    assert len(json.dumps(answer)) < 10_000
    arrived = Caller(lambda _: answer, lambda *_: None)()
    assert arrived[0] is arrived[1]
    assert time.process_time() - start < 5


def test_the_test_s_own_objects_are_changed_and_no_others():
    inner, other = [1], [1]
    outer = {"inner": inner}
    there = program.Caller(lambda d: d["inner"].append(2))
    Caller(lambda call: json.loads(json.dumps(there.answer(call))), lambda *_: None)(outer)
    assert outer == {"inner": [1, 2]}
    assert outer["inner"] is inner
    assert other == [1]


def test_what_cannot_be_sent_stops_the_test_for_good():
    caller = caller_of({"value": 1}, {"value": 1})
    with pytest.raises(UnserializableValue):
        caller(len)
    with pytest.raises(UnserializableValue):
        caller(1)


def test_an_iterator_is_asked_for_each_item():
    asked = []
    answers = iter(
        [{"value": {"iterator": 0}}, {"value": 5}, {"value": [6]}, raised("StopIteration")]
    )

    def ask(call):
        asked.append(call)
        return next(answers)

    items = Caller(ask, lambda *_: None)("x")
    assert len(asked) == 1
    assert next(items) == 5
    assert asked[1:] == ['{"next": 0}']
    assert list(items) == [[6]]
    assert iter(items) is items
