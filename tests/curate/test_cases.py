"""Assertions of cases pass on the reference and fail on another answer."""

import doctest

import pytest

from codex_jax import records
from codex_jax.curate.execution import Call
from codex_jax.curate.problems import cases
from codex_jax.curate.problems.cases import Case
from tests.curate.conftest import run_check


def sort(items):
    items.sort()


def add(x, y):
    return round(x + y, 9)


@pytest.mark.parametrize(
    ("case", "right", "wrong", "is_generator"),
    [
        (Case(Call((2,), {}), 4), lambda x: x * 2, lambda x: x, False),
        (Case(Call((0.1,), {"y": 0.2}), 0.30000000000000004), add, lambda x, y: x - y, False),
        (Case(Call((), {}), True), lambda: True, lambda: 1, False),
        (Case(Call((), {}), None), lambda: None, lambda: 0, False),
        (Case(Call(([2, 1],), {}), None, [[1, 2]]), sort, sorted, False),
        (Case(Call((2,), {}), [0, 1]), range, lambda n: range(n + 1), True),
        (Case(Call((), {}), float("inf")), lambda: float("inf"), lambda: 1.0, False),
    ],
)
def test_a_check_tells_right_from_wrong(case, right, wrong, is_generator):
    test = cases.check_function([case], is_generator=is_generator)
    run_check(test, right)
    with pytest.raises(AssertionError):
        run_check(test, wrong)


def test_keys_and_outputs():
    case = Case(Call(({"b", "a"},), {"n": 1}), [1])
    assert case.key == "({'a', 'b'}, n=1)"
    assert case.output != case._replace(value=(1,)).output
    assert case.output != case._replace(arguments=[set()]).output


def test_answers_that_make_no_case():
    call = Call((1,), {})
    assert cases.case_of(call, records.Answer(5)).value == 5
    assert cases.case_of(call, records.Answer(error="ValueError: x")) is None
    assert cases.case_of(call, records.Answer(object())) is None
    assert cases.case_of(call, records.Answer("x" * 9999)) is None
    assert cases.case_of(call, records.Answer(float("nan"))) is None


def test_the_same_answer_has_the_same_types_and_changed_arguments():
    case = Case(Call(([],), {}), 1, [[1]])
    assert cases.is_same_answer(case, records.Answer(1, [[1]]))
    for answer in (records.Answer(True, [[1]]), records.Answer(1), records.Answer(error="E: x")):
        assert not cases.is_same_answer(case, answer)


def test_lines_of_a_docstring():
    assert cases.doctest_lines("f", Case(Call((1,), {}), "a")) == [">>> f(1)", "'a'"]
    assert cases.doctest_lines("f", Case(Call((1,), {}), None)) == []
    assert cases.doctest_lines("f", Case(Call(("x" * 99,), {}), 1)) == []


@pytest.mark.parametrize("name", ["class", "data-id", "ﬁ", "x=1, y", ""])
def test_a_name_that_no_program_can_spell_makes_no_case(name):
    call = Call((1,), {name: 2})
    with pytest.raises(ValueError, match="is no name of an argument"):
        cases.call_text("f", call)
    assert cases.case_of(call, records.Answer(value=3)) is None


@pytest.mark.parametrize(
    "value", [{1, 2}, [{"a", "b"}], {"k": frozenset("xy")}, 1e999, [2.5], -0.0]
)
def test_examples_are_what_the_prompt_shows(value):
    lines = cases.doctest_lines("f", Case(Call((), {}), value))
    examples = doctest.DocTestParser().get_doctest(
        "\n".join(lines), {"f": lambda: value}, "x", None, 0
    )
    assert doctest.DocTestRunner(verbose=False).run(examples) == (0, 1)


def test_examples_of_a_generator_list_it():
    lines = cases.doctest_lines("f", Case(Call((3,), {}), [0, 1]), is_generator=True)
    assert lines == [">>> list(f(3))", "[0, 1]"]
