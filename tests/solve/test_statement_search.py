"""The search by statements, with known samples and the real sandbox."""

import pytest

from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.records import Completion
from codex_jax.solve.plan import NoPlan
from codex_jax.solve.statement_search import StatementSearch, keep_best, read_function

PROMPT = (
    "def weigh(values: list, factor: int):\n"
    '    """Returns the sum of the even values, times the factor.\n\n'
    "    >>> weigh([1, 2, 4], 3)\n    18\n    >>> weigh([], 3)\n    0\n"
    '    """\n'
)
FIRST = "    total = 0\n"
LOOP = "    for v in values:\n        if v % 2 == 0:\n            total += v\n"
RETURN = "    return total * factor\n"
HOSTILE = [
    "    while True:\n        pass\n",
    "    return weigh(values, factor)\n",
    "    print('x' * 10**6)\n    return 1 / 0\n",
    "    open('/etc/passwd').write('x')\n    return 18\n",
    "    import os\n    os._exit(0)\n",
    "    raise SystemExit\n",
    "    values.clear()\n    return len(values)\n",
    "    return (v for v in values)\n",
    "    return None\n",
    "    return total (",
    "",
]


@pytest.fixture(scope="module")
def session(sandbox_name):
    with ProgramRunner(sandbox=sandbox_name, timeout_s=0.5).open() as opened:
        yield opened


def samples(*texts, finish_reason="stop"):
    return [
        Completion(
            task_id="p", completion=t, sample_index=n, tokens=10, finish_reason=finish_reason
        )
        for n, t in enumerate(texts)
    ]


def start(*, prompt=PROMPT, windows=(1, 2, 3), beam=2, rounds=4):
    return StatementSearch(read_function(prompt, "weigh"), windows, beam, rounds)


def test_a_prompt_has_probes_of_all_its_arguments():
    function = read_function(PROMPT, "weigh")
    assert function.parameters == ("values", "factor")
    assert function.indent == "    "
    assert function.probes[:2] == [[[1, 2, 4], 3], [[], 3]]
    assert len(function.probes) == 16
    assert {n: example.expected for n, example in function.examples.items()} == {0: 18, 1: 0}


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ('def weigh(a: Node):\n    """x"""\n', "no inputs can be made"),
        ('def weigh():\n    """x"""\n', "no inputs can be made"),
        ('def weigh(a: int):\n    """x"""\n    return a\n', "has code after it"),
        (PROMPT + '    return 1\n\ndef other(a: int):\n    """x"""\n', "the prompt ends in other"),
        ("weigh", "doesn't end in a function"),
    ],
)
def test_prompts_that_cant_be_sampled_by_statements(prompt, words):
    with pytest.raises(NoPlan, match=words):
        read_function(prompt, "weigh")


def test_equal_states_add_up_and_their_likeliest_text_goes_on(session):
    search = start()
    assert search.prompts() == [PROMPT]
    renamed = (FIRST + LOOP).replace("total", "t").replace("v", "x").replace("xalues", "values")
    wrong = FIRST + "    for v in values:\n        total += v\n" + RETURN
    texts = [FIRST + LOOP + "    return total\n", renamed + "    return 5\n", wrong, wrong]
    search.advance({PROMPT: samples(*texts)}, session)
    assert search.final == {}  # none satisfies both examples
    assert search.counts["against_examples"] == 3  # the equal texts ran once
    after_one, after_two = search.levels[1], search.levels[2]
    (first,) = after_one.values()
    assert first.mass == pytest.approx(1.0)
    assert first.body.text == FIRST
    assert sorted(len(state.ways) for state in after_two.values()) == [1, 2]
    assert search.tokens == 40

    assert search.prompts() == [PROMPT + FIRST]
    search.advance({PROMPT + FIRST: samples(LOOP + RETURN, LOOP + "    return v")}, session)
    assert [state.body.text for state in search.final.values()] == [FIRST + LOOP + RETURN]
    assert keep_best(search.levels[2], 1)[0].body.text == FIRST + LOOP
    assert PROMPT + FIRST + LOOP in search.prompts()


def test_masses_are_shares_of_samples(session):
    search = start(windows=(1,))
    right = FIRST + LOOP + RETURN
    search.advance({PROMPT: samples(right, right, "    return 18\n", "    x = 1\n")}, session)
    (final,) = search.final.values()
    assert final.mass == pytest.approx(2 / 4 / 3)  # its text has three statements
    assert sorted(s.mass for s in search.levels[1].values()) == pytest.approx([2 / 4])


def test_where_all_probes_have_an_answer_the_program_has_ended(session):
    search = start()
    ended = "    return factor * sum(v for v in values if v % 2 == 0)\n"
    rest = samples(ended + "    a = 1\n    b = 2\n    c", finish_reason="length")
    search.advance({PROMPT: rest}, session)
    (final,) = search.final.values()
    assert final.body.text == ended
    assert search.prompts() == []


def test_hostile_samples_are_dropped_and_counted(session):
    search = start(rounds=2)
    right = FIRST + LOOP + RETURN
    search.advance({PROMPT: samples(*HOSTILE, right)}, session)
    assert [state.body.text for state in search.final.values()] == [right]
    faults = ("ended", "raised", "empty", "against_examples")
    # what clears its argument, and what prints or imports first, fails at its second statement
    assert sum(search.counts[name] for name in faults) == 9
    assert search.counts["empty"] == 1
    while prompts := search.prompts():
        search.advance({prompt: samples(*HOSTILE) for prompt in prompts}, session)
    assert [state.body.text for state in search.final.values()] == [right]


def test_a_search_ends_after_its_rounds(session):
    search = start(rounds=3)
    rounds = 0
    while prompts := search.prompts():
        search.advance({prompt: samples("    factor += 1\n" * 9) for prompt in prompts}, session)
        rounds += 1
    assert rounds == 3
    assert search.final == {}


def test_prompts_that_are_longer_than_the_model_are_counted(session):
    search = start()
    search.advance({}, session)
    assert search.counts["windows_too_long"] == 1
    assert search.prompts() == []


def test_bodies_of_200_statements_and_of_none(session):
    search = start(windows=(1,), rounds=1)
    body = FIRST * 200 + LOOP + RETURN
    search.advance({PROMPT: samples(body, "", "\n", "    # nothing\n")}, session)
    (final,) = search.final.values()
    assert final.body.statements == 202
    assert search.counts["programs"] == 2
    assert search.prompts() == []


def test_a_function_before_the_prompts_can_be_called(session):
    helper = "def is_even(v):\n    return v % 2 == 0\n\n\n"
    search = start(prompt=helper + PROMPT)
    text = "    return factor * sum(filter(is_even, values))\n"
    search.advance({helper + PROMPT: samples(text)}, session)
    assert [state.body.text for state in search.final.values()] == [text]
