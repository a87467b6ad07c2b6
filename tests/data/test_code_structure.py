"""Functions are alike whatever their names, annotations, docstrings and layout are."""

import pytest

from codex_jax.data.cleaning.code_structure import functions_of, outline, structure

ORIGINAL = '''
def mean_deviation(numbers: list[float], scale: float = 1.0) -> float:
    """Computes it."""
    mean = sum(numbers) / len(numbers)
    # the deviations
    total: float = 0.0
    for number in numbers:
        total += abs(number - mean)
    return scale * total / len(numbers)
'''
SAME = {
    "renamed": ORIGINAL.replace("number", "item").replace("mean", "m").replace("total", "t"),
    "bare": "def f(a, b):\n  c = sum(a) / len(a); t = 0.0\n  for x in a: t += abs(x - c)\n"
    "  return b * t / len(a)\n",
    "method": "class A:\n    def f(self, a, b):\n        c = sum(a) / len(a)\n        t = 0.0\n"
    "        for x in a:\n            t += abs(x - c)\n        return (b * t) / len(a)\n",
    "async": ORIGINAL.replace("def ", "async def "),
    "inner": "def g():\n    if x:\n" + ORIGINAL.replace("\n", "\n        "),
}
OTHER = {
    "operator": ORIGINAL.replace("number - mean", "number + mean"),
    "builtin": ORIGINAL.replace("abs", "round"),
    "constant": ORIGINAL.replace("0.0", "0.5"),
    "order": ORIGINAL.replace("number - mean", "mean - number"),
    "one name for two": ORIGINAL.replace("number - mean", "mean - mean"),
}


def _structures(source):
    return {structure(function) for function in functions_of(source)}


@pytest.mark.parametrize("name", SAME)
def test_the_same_in_other_words(name):
    (original,) = functions_of(ORIGINAL)
    assert structure(original) in _structures(SAME[name])
    assert outline(original) in {outline(function) for function in functions_of(SAME[name])}


@pytest.mark.parametrize("name", OTHER)
def test_another_program_is_another(name):
    assert not _structures(ORIGINAL) & _structures(OTHER[name])


@pytest.mark.parametrize(
    "source",
    ["def f(a, b):\n    return a + b\n", "def f(a):\n    return len(a)\n", "def f(): pass"],
)
def test_what_is_anyones_has_no_structure(source):
    assert _structures(source) == {b""}


@pytest.mark.parametrize(
    "source", ["", "x = 1", "def f(:", "def f():\n\treturn \0", "(" * 500 + "def "]
)
def test_what_is_no_program_has_no_functions(source):
    assert functions_of(source) == []
