"""Plans: the steps of lists and sentences, prompts of windows, and prompts without a plan."""

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax.curate import chains
from codex_jax.curate.blocks import DOMAINS
from codex_jax.solve.plan import MAX_STEPS, NoList, NoPlan, read_plan


def prompt_of(docstring: str, head: str = "def f(s: str):") -> str:
    return f'{head}\n    """{docstring}"""\n'


@hypothesis.given(st.permutations(range(13)), st.integers(1, 13), st.sampled_from(list(DOMAINS)))
@hypothesis.settings(max_examples=40)
def test_windows_of_a_chain_are_prompts_of_shorter_chains(order, length, name):
    domain, chain = DOMAINS[name], tuple(order[:length])
    plan = read_plan(chains.prompt(chain, domain), domain.entry_point)
    assert plan.steps == tuple(domain.blocks[block][0] for block in chain)
    assert plan.prompt(0, length) == chains.prompt(chain, domain)
    for start in range(length):
        for stop in range(start + 1, length + 1):
            assert plan.prompt(start, stop) == chains.prompt(chain[start:stop], domain)


@pytest.mark.parametrize(
    ("docstring", "steps", "second"),
    [
        ("Do:\n    - a\n    - b\n    - c\n    ", ("a", "b", "c"), "Do:\n    - b\n    "),
        ("Do:\n    1. a\n    2. b\n    ", ("a", "b"), "Do:\n    1. b\n    "),
        ("Do:\n    1) a\n    2) b\n    ", ("a", "b"), "Do:\n    1) b\n    "),
        ("\n    * x y\n    * z\n\n    Return it.\n    ", ("x y", "z"), "* z\n\n    Return it."),
        ("Sort s, then reverse it.", ("Sort s", "reverse it"), '"""reverse it."""'),
        (
            "Sort s. Then reverse it, and then drop\n    the last item.\n\n    More.",
            ("Sort s", "reverse it", "drop the last item"),
            '"""reverse it.\n\n    More."""',
        ),
    ],
)
def test_forms_of_plans(docstring, steps, second):
    prompt = prompt_of(docstring)
    plan = read_plan(prompt, "f")
    assert plan.steps == steps
    assert second in plan.prompt(1, 2)
    compile(plan.prompt(1, 2) + "    return s\n", "window", "exec")


@pytest.mark.parametrize(
    ("docstring", "steps"),
    [
        ("Take s, then return it\n    after:\n    - a\n    ", ("a",)),
        ("Sort s, then reverse it.\n\n    - a note\n    ", ("Sort s", "reverse it")),
        ("\n    - Sort s, then reverse it.\n    ", ("- Sort s", "reverse it")),
    ],
)
def test_a_list_of_one_bullet_and_a_sentence(docstring, steps):
    assert read_plan(prompt_of(docstring), "f").steps == steps


@pytest.mark.parametrize("docstring", ["Do:\n    3. a\n    ", "Do:\n    - a\n\n    - b\n    "])
def test_one_number_and_lists_of_one_bullet_are_no_plan(docstring):
    with pytest.raises(NoList):
        read_plan(prompt_of(docstring), "f")


def test_the_full_list_is_the_prompt_itself():
    prompt = "import re\n\n" + prompt_of("Do:\n    1. a\n    2. b\n    Done.\n    ")
    assert read_plan(prompt, "f").prompt(0, 2) == prompt


def test_helpers_before_the_function_stay_in_every_window():
    prompt = "def helper(s):\n    return s\n\n\n" + prompt_of("Do:\n    - a\n    - b\n    ")
    plan = read_plan(prompt, "f")
    assert plan.prompt(0, 1).startswith("def helper(s):\n    return s\n")
    assert (plan.argument, plan.annotation) == ("s", "str")


def test_characters_of_several_bytes_before_the_docstring():
    prompt = "# é ü — Ω\n" + prompt_of("Dö:\n    - ä\n    - ß\n    ", "def f(s: 'ö'):")
    assert read_plan(prompt, "f").steps == ("ä", "ß")


LONG = "Do:\n" + "".join(f"    - step {n}\n" for n in range(200)) + "    "


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (prompt_of("Sort the string."), "no list of steps"),
        (prompt_of("Do:\n    1. one step only\n    "), "no list of steps"),
        (prompt_of(LONG), f"a plan of 200 steps; the most are {MAX_STEPS}"),
        (
            prompt_of("Do:\n    - a\n    - b, as\n      shown\n    - c\n    "),
            "several lists",
        ),
        (prompt_of("Do:\n    - a\n    - b\n    Or:\n    - c\n    "), "several lists"),
        (prompt_of("- a\n    - b\n    ", "def f(s, t):"), "exactly one argument"),
        (prompt_of("- a\n    - b\n    ", "def f(*s):"), "exactly one argument"),
        (prompt_of("- a\n    - b\n    ", "def f(s, *, key=None):"), "exactly one argument"),
        (prompt_of("- a\n    - b\n    ", "def g(s):"), "ends in g, and asks for f"),
        ("def f(s):\n", "has no docstring"),
        ("def f(s):\n    '''- a\n    - b'''\n    x = 1\n", "has code after it"),
        ("x = 1\n", "doesn't end in a function"),
        ("async " + prompt_of("- a\n    - b\n    "), "doesn't end in a function"),
        ("class A:\n    " + prompt_of("- a\n        - b\n").strip(), "doesn't end in a function"),
        ("\ufeff" + prompt_of("- a\n    - b\n    "), "doesn't end in a function"),
        ("def g(s):\n    def f(s):\n        '''- a\n        - b'''\n", "ends in g, and asks for f"),
        ("def f(s):\n    f'''- a\n    - b'''\n", "has no docstring"),
        ("def f(s):\n    b'''- a\n    - b'''\n", "has no docstring"),
        ("f = lambda s: s\n", "doesn't end in a function"),
        (prompt_of("- a\n    - b\n    - c\n    "), "begins on the line of the opening quotes"),
        (prompt_of("- a\n    - b\n    "), "no list of steps"),
        (
            "x = " + "-" * 50_000 + "1\n" + prompt_of("- a\n    - b\n    "),
            "doesn't end in a function",
        ),
        ("x = a" + ".b" * 20_000 + "\n" + prompt_of("- a\n    - b"), "doesn't end in a function"),
        ("def f(s):\n    '''\x00- a\n    - b'''\n", "doesn't end in a function"),
    ],
)
def test_prompts_without_a_plan_say_why(prompt, words):
    with pytest.raises(NoPlan, match=words):
        read_plan(prompt, "f")


def test_form_feeds_and_line_separators_are_no_lines():
    for head in ("x = 'a\u2028b'\n\x0c\n", "x = 1\ry = 2\r\n"):
        prompt = head + prompt_of("Do:\n    - a\n    - b\n    ")
        assert read_plan(prompt, "f").steps == ("a", "b")


@pytest.mark.parametrize(
    "prompt",
    [
        "import functools\n\n\n@functools.cache\n" + prompt_of("Do:\n    - a\n    - b\n    "),
        prompt_of("Do:\n    - a\n    - b\n    ").replace("\n", "\r\n"),
        prompt_of("Do:\n    - a\n    - b\n    ", "def g(s):")
        + "\n\n"
        + prompt_of("\n    - a\n    - b"),
        prompt_of("Do:\n    - a\n    - b\n    ", "def f(s: str = 'x', /):"),
        prompt_of("Do:\n    - a\n    - b\n    ").rstrip(),
    ],
)
def test_prompts_of_other_forms_have_a_plan(prompt):
    """Decorators, line ends, a function before, quotes behind the last item, no line end."""
    plan = read_plan(prompt, "f")
    assert plan.steps == ("a", "b")
    for window in ((0, 1), (0, 2), (1, 2)):
        compile(plan.prompt(*window) + "\n    return s\n", "window", "exec")
