"""Examples of prompts: their forms, what is none, and the benchmark whose forms are known."""

import json
import pathlib

import pytest

from codex_jax import records
from codex_jax.evaluate.select.examples import Example, is_equal, read_examples

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data" / "HumanEval.jsonl.gz"


def read(docstring: str, header: str = "def f(x):") -> list[tuple]:
    prompt = f'{header}\n    """{docstring}\n    """\n'
    return [(*e.arguments, e.expected) for e in read_examples(prompt, "f")]


@pytest.mark.parametrize(
    "text",
    [
        ">>> f(2)\n    4",
        "f(2) == 4",
        "f(2) = 4",
        "* f(2) -> 4",
        "f(2) → 4",
        "f(2) ➞ 4",
        "f(2) ==> 4",
        "f(2)  # => 4 (twice)",
        "f(2) # returns 4",
        "f(2) should return 4.",
        "assert f(2) == 4",
        ">>> f(2) == 4",
        "f(2) gives 4, as 2 + 2 is",
        "For x = 2 the output should be 4",
        "For x = 2, the result will be 4",
        "Input: 2\n    Output: 4",
        "Input: x = 2\n    Output: 4 # twice",
        "Example 1:\n        Input:\n            number : 2\n        Output: 4",
        "x = 2\n    return 4",
        "assert g(2) == 4",
    ],
)
def test_forms_of_examples(text):
    assert read(f"Double it.\n\n    {text}") == [(2, 4)]


def test_several_arguments_in_each_form():
    header = "def f(words, k):"
    for text in (
        'f(["a", "b"], 1) == "b"',
        'For words = ["a", "b"], k = 1 the output should be "b"',
        'Input: words = ["a", "b"], k = 1\n    Output: "b"',
        'Input: ["a", "b"], 1\n    Output: "b"',
        'Input:\n      list : ["a", "b"]\n      index : 1\n    Output: "b"',
        "f([\n      'a',\n      'b'],\n      1) == 'b'",
    ):
        assert read(text, header) == [(["a", "b"], 1, "b")], text


@pytest.mark.parametrize(
    "text",
    [
        "Returns f(x), the double of x.",
        "f(n) -> f(n - 1) + f(n - 2)",
        "f(x) == 3",
        "f(2) is called twice",
        "f(2)\n    is 4",
        "f(2) == y",
        "f(2, key=3) == 4",
        "x = 5 is a value that some callers pass",
        'f(2) == ""aa"',
    ],
)
def test_what_is_no_example(text):
    assert read(text) == []


def test_doctests_of_several_lines_and_of_none():
    text = ">>> f(1)\n\n    >>> f(2)\n    ['a',\n     'b']\n    >>> f(3)\n    True"
    assert read(text) == [(1, None), (2, ["a", "b"]), (3, True)]


def test_an_example_may_end_the_docstring():
    for quotes in ('"""', "'''"):
        prompt = f"def f(x):\n    {quotes}Double x: f(2) == 4, f(0) == 0{quotes}\n"
        assert [e.expected for e in read_examples(prompt, "f")] == [4, 0]


def test_calls_with_two_answers_are_left_out():
    assert read("f(1) == 2\n    f(2) == 3\n    f(1) == 5") == [(2, 3)]
    assert read("f(1) == 2\n    >>> f(1)\n    2") == [(1, 2)]


def test_words_without_quotes_are_strings_and_parameters_are_not():
    header = "def f(s):"
    assert read("f(ab) => False\n    f(s) => True", header) == [("ab", False)]


def test_a_call_around_the_function_is_applied():
    prompt = 'def f(x):\n    """\n    >>> round(f(2), 2)\n    1.41\n    """\n'
    (example,) = read_examples(prompt, "f")
    assert example == Example([2], 1.41, "round", (2,))
    assert example.is_satisfied(2**0.5)
    assert not example.is_satisfied(1.5)
    assert not example.is_satisfied("1.41")


def test_calls_around_the_function_that_differ_do_not_contradict():
    text = ">>> round(f(2), 2)\n    1.41\n    >>> round(f(2), 1)\n    1.4"
    assert read(text) == [(2, 1.41), (2, 1.4)]
    assert read(text.replace(", 1)", ", 2)")) == []


@pytest.mark.parametrize(
    ("answer", "expected", "equal"),
    [
        (0.1 + 0.2, 0.3, True),
        ([0.1 + 0.2, "a"], [0.3, "a"], True),
        (3, 3.0, True),
        (float("inf"), float("inf"), True),
        ((1, 2), [1, 2], False),
        ([1, 2], [1, 2, 3], False),
        ({"a": 0.1 + 0.2}, {"a": 0.3}, True),
        ({"a": 1}, {"b": 1}, False),
        ("1.0", 1.0, False),
        (None, 0, False),
        (None, None, True),
    ],
)
def test_equality(answer, expected, equal):
    assert is_equal(answer, expected) == equal


def test_prompts_that_do_not_parse_have_what_their_text_shows():
    assert read_examples("f(1) == 2", "f") == [Example([1], 2)]
    assert read_examples("", "f") == []
    assert read_examples("def f(:\n    f(3) == 4", "f") == [Example([3], 4)]


def test_nearly_all_prompts_of_humaneval_show_examples():
    """The references satisfy them, but for those that are known to contradict their prompts."""
    if not DATA.exists():
        pytest.skip(f"{DATA} is not there")
    contradicting, count = set(), 0
    for problem in records.read_jsonl(DATA, records.Problem):
        scope: dict = {}
        exec(problem.prompt + problem.canonical_solution, scope)
        examples = read_examples(problem.prompt, problem.entry_point)
        count += bool(examples)
        for example in examples:
            copy = json.loads(json.dumps(example.arguments))
            arguments = example.arguments if "(" in str(example.arguments) else copy
            if not example.is_satisfied(scope[problem.entry_point](*arguments)):
                contradicting.add(int(problem.task_id.partition("/")[2]))
    assert count >= 155
    assert contradicting == {47, 116, 130, 148}  # 148 writes a tuple of one item as the item


@pytest.mark.parametrize(("answer", "expected"), [(10**400, 1.0), (1.5, 10**400)])
def test_integers_larger_than_any_float_are_unequal_to_floats(answer, expected):
    assert not is_equal(answer, expected)
    assert is_equal(expected, expected)


def test_an_ellipsis_is_neither_argument_nor_answer():
    prompt = 'def f(x):\n    """\n    >>> f(...)\n    3\n    >>> f(2)\n    ...\n    """\n'
    assert read_examples(prompt, "f") == []


@pytest.mark.parametrize("text", ["input: x ", "n = k "])
def test_many_words_without_values_are_passed_over(text):
    prompt = f'def f(n):\n    """{text * 1500} n = 1, output: 2"""\n'
    assert read_examples(prompt, "f") == [Example([1], 2)]
