"""Probes: from the prompt alone, deterministic, distinct, and able to tell blocks apart."""

import pytest

from codex_jax.curate import chains
from codex_jax.curate.blocks import DOMAINS
from codex_jax.records import Problem
from codex_jax.solve.probes import COUNT, make_calls, make_probes


def problem(prompt: str, **fields) -> Problem:
    return Problem(task_id="t", prompt=prompt, entry_point="f", **fields)


@pytest.mark.parametrize(
    ("annotation", "value_type"),
    [
        ("str", str),
        ("int", int),
        ("float", float),
        ("list[int]", list),
        ("List[str]", list),
        ("List[List[int]]", list),
        ("tuple[int, ...]", tuple),
        ("set[int]", set),
        ("Sequence[float]", list),
    ],
)
def test_annotations_give_distinct_values_of_their_type(annotation, value_type):
    values = make_probes(problem(f"def f(x: {annotation}):\n"), annotation)
    assert len(values) == len({repr(value) for value in values}) == COUNT
    assert {type(value) for value in values} == {value_type}


def test_examples_come_first_and_give_the_type_where_there_is_no_annotation():
    prompt = 'def f(x):\n    """\n    >>> f([3, 1])\n    [1, 3]\n    >>> f([])\n    []\n    """\n'
    values = make_probes(problem(prompt), "")
    assert values[:2] == [[3, 1], []]
    assert len(values) == COUNT


@pytest.mark.parametrize("annotation", ["", "np.ndarray", "Callable", "list[Node]", "dict"])
def test_no_probes_without_examples_and_a_known_type(annotation):
    assert make_probes(problem(f"def f(x: {annotation or 'object'}):\n"), annotation) == []


def test_tests_and_references_change_nothing():
    prompt = 'def f(x: str):\n    """\n    - a\n    - b\n    """\n'
    plain = make_probes(problem(prompt), "str")
    test = "def check(c):\n    assert c('secret') == 1\n"
    other = make_probes(problem(prompt, test=test, canonical_solution="    return 1\n"), "str")
    assert plain == other
    assert "secret" not in plain


@pytest.mark.parametrize("name", DOMAINS)
def test_pairs_of_blocks_are_told_apart(name):
    domain = DOMAINS[name]
    probes = make_probes(
        problem(chains.prompt((0, 1), domain)), {"strings": "str", "lists": "list[int]"}[name]
    )
    singles = {repr([chains.apply((b,), v, domain) for v in probes]) for b in range(13)}
    assert len(singles) == 13


def test_calls_have_all_arguments_the_examples_first():
    shown = "    >>> f([3, 1], 4)\n    [1]\n    >>> f([])\n    []\n"
    prompt = f'def f(x, n=2):\n    """\n{shown}    """\n'
    lists = make_calls(prompt, "f", ["", ""])
    assert lists[:2] == [[[3, 1], 4], [[]]]
    assert len({repr(arguments) for arguments in lists}) == len(lists) == COUNT
    assert make_calls(prompt, "f", ["", ""]) == lists


def test_without_examples_calls_are_drawn_for_the_annotations():
    prompt = 'def f(x: str, y: list[int]):\n    """Joins."""\n'
    lists = make_calls(prompt, "f", ["str", "list[int]"])
    assert {(type(x), type(y)) for x, y in lists} == {(str, list)}
    assert make_calls(prompt.replace("list[int]", "Node"), "f", ["str", "Node"]) == []
    assert make_calls("def f():\n", "f", []) == []


def test_lists_in_lists_are_known_to_three_levels():
    """Each level has up to 28 times as many values: nine levels took all memory."""
    for levels, is_known in {3: True, 4: False, 9: False}.items():
        annotation = "list[" * levels + "int" + "]" * levels
        bare = problem("def f(s):\n")
        assert bool(make_probes(bare, annotation)) is is_known
        assert bool(make_calls(bare.prompt, "f", [annotation])) is is_known
