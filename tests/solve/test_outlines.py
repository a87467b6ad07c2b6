"""Outlines: what samples write of them, programs that stop at a helper, and composed bodies."""

import ast

import pytest

from codex_jax.solve import outlines
from codex_jax.solve.statement_search import read_function

PROMPT = (
    "import math\n\n\n"
    "def weigh(values: list, factor: int):\n"
    '    """Returns the sum of the even values, times the factor.\n\n'
    "    >>> weigh([1, 2, 4], 3)\n    18\n    >>> weigh([], 3)\n    0\n"
    '    """\n'
)
EVEN = (
    "    def is_even(v: int) -> bool:\n"
    '        """Whether v is even.\n\n        Zero is.\n        """\n'
    "        return v % 2 == 0\n\n"
)
SUM = '    def total(values):\n        """Sums the values."""\n        return sum(values)\n\n'
CALLER = "    return factor * total([v for v in values if is_even(v)])\n"
FUNCTION = read_function(PROMPT, "weigh")


def functions(**sources: str) -> dict[str, ast.FunctionDef]:
    return {name: ast.parse(text).body[0] for name, text in sources.items()}  # type: ignore[misc]


def test_an_outline_has_a_prompt_for_each_documented_helper():
    outline = outlines.read_outline(FUNCTION, EVEN + SUM + CALLER)
    assert outline is not None
    assert [helper.name for helper in outline.helpers] == ["is_even", "total"]
    assert outline["is_even"].prompt == (
        "import math\n\n\ndef is_even(v: int) -> bool:\n"
        '    """Whether v is even.\n\n    Zero is.\n    """\n'
    )
    assert outline["total"].prompt == (
        'import math\n\n\ndef total(values):\n    """Sums the values."""\n'
    )
    assert "return v" not in outline.source


def test_outlines_are_equal_whatever_the_helpers_bodies_are():
    other = EVEN.replace("v % 2 == 0", "not v & 1  # a comment") + SUM + CALLER
    first, second = (outlines.read_outline(FUNCTION, t) for t in (EVEN + SUM + CALLER, other))
    assert first == second
    assert len({first, second}) == 1


def test_functions_without_a_docstring_or_with_decorators_stay_in_the_caller():
    plain = SUM.replace('        """Sums the values."""\n', "")
    decorated = SUM.replace("    def total", "    @math.cache\n    def total", 1)
    for text in (plain, decorated):
        outline = outlines.read_outline(FUNCTION, EVEN + text + CALLER)
        assert outline is not None
        assert [helper.name for helper in outline.helpers] == ["is_even"]
        assert "return sum(values)" in outline.source


@pytest.mark.parametrize(
    "text",
    [
        CALLER,
        EVEN + "    return 18\n",  # it isn't called
        EVEN + SUM,
        EVEN + "    return is_even(\n",
        EVEN + EVEN + CALLER,  # twice
        EVEN.replace("is_even", "weigh") + "    return weigh(values, factor)\n",
        "".join(EVEN.replace("is_even", f"h{n}") for n in range(11))
        + "    return ["
        + ", ".join(f"h{n}(1)" for n in range(11))
        + "]\n",
        "    async def f(v):\n        '''Does it.'''\n    return f(1)\n",
        "",
        "\x00",
        "    return " + "(" * 3000,
        "    x = '\ud800'\n",
    ],
)
def test_samples_that_are_no_outlines(text):
    assert outlines.read_outline(FUNCTION, text) is None


@pytest.mark.parametrize("end", ["", "\n", "\n    ", "\n  "])
def test_the_prompt_that_asks_for_helpers_begins_a_definition(end):
    function = read_function(PROMPT.rstrip() + end, "weigh")
    text = outlines.make_prompt(function)
    assert text.startswith(function.prompt)
    body = outlines.lead(function) + EVEN.lstrip().removeprefix("def ") + CALLER
    compile(function.prompt + body, "program", "exec")
    outline = outlines.read_outline(function, body)
    assert outline is not None
    completion = outlines.complete(function, outline, functions(is_even="def is_even(v): return 1"))
    compile(function.prompt + completion, "program", "exec")


def run_traced(outline, *arguments, **sources):
    namespace: dict = {}
    exec(outlines.make_traced_program(FUNCTION, outline, functions(**sources)), namespace)
    return namespace[outlines.TRACED](*arguments)


IS_EVEN = "def is_even(v):\n    return v == 0 or (v > 1 and is_even(v - 2))\n"
TOTAL = "def total(values):\n    while values: yield values.pop()\n"


def test_a_traced_program_stops_at_the_first_helper_without_a_body():
    outline = outlines.read_outline(FUNCTION, EVEN + SUM + CALLER)
    assert run_traced(outline, [1, 2], 3) == ["is_even", None, []]
    assert run_traced(outline, [], 3) == ["total", None, []]
    calls = [["is_even", False, [1], {}], ["is_even", True, [2], {}]]  # calls of its own aren't
    assert run_traced(outline, [1, 2], 3, is_even=IS_EVEN) == ["total", None, calls]


def test_a_complete_program_answers_and_tells_what_its_helpers_did():
    caller = "    return factor * len(list(total([v for v in values if is_even(v)])))\n"
    outline = outlines.read_outline(FUNCTION, EVEN + SUM + caller)
    stop, answer, calls = run_traced(outline, [2, 3, 4], 3, is_even=IS_EVEN, total=TOTAL)
    assert (stop, answer) == ("", 6)
    assert calls[-1] == ["total", [4, 2], [[]], {}]  # drawn from it, and its argument changed


def test_a_stop_that_the_caller_catches_is_one():
    caller = "    try:\n        is_even(1)\n    except BaseException:\n        return total([1])\n"
    outline = outlines.read_outline(FUNCTION, EVEN + SUM + caller + "    return 2\n")
    assert run_traced(outline, [2], 1) == ["is_even", None, []]
    caller = caller.replace("return total([1])", "raise ValueError")
    outline = outlines.read_outline(FUNCTION, EVEN + SUM + caller + "    return total([2])\n")
    assert run_traced(outline, [2], 1)[0] == "is_even"


def test_the_composed_body_does_what_its_helpers_do():
    outline = outlines.read_outline(FUNCTION, EVEN + SUM + CALLER)
    body = outlines.compose(
        outline, functions(is_even=IS_EVEN, total="def total(v): return sum(v)")
    )
    namespace: dict = {}
    exec(PROMPT + body, namespace)
    assert namespace["weigh"]([1, 2, 4], 3) == 18
    assert body.startswith("    def is_even(v):\n")
