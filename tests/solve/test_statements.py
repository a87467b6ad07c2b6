"""Bodies that samples go through, and programs that stop after some statements."""

import pytest

from codex_jax.solve.statements import OPEN, Body, make_program, read_bodies, read_loop_variables

PROMPT = 'def weigh(values, factor):\n    """Adds the values up."""\n'
START = Body("", 0, is_final=False)


def bodies(completion, before=START, *, is_complete=True, prompt=PROMPT):
    return read_bodies(prompt, before, completion, "weigh", is_complete=is_complete)


def test_a_sample_goes_through_its_top_level_statements():
    first = "    total = 0\n"
    loop = (
        "    # add them\n    for value in values:\n        if value:\n            total += value\n"
    )
    rest = "    return total\n"
    assert bodies(first + loop + rest) == [
        Body(first, 1, is_final=False),
        Body(first + loop, 2, is_final=False),
        Body(first + loop + rest, 3, is_final=True),
    ]


def test_statements_are_counted_on_from_those_before():
    before = Body("    total = 0\n", 1, is_final=False)
    assert bodies("    total += 1\n    return total", before) == [
        Body("    total = 0\n    total += 1\n", 2, is_final=False),
        Body("    total = 0\n    total += 1\n    return total\n", 3, is_final=True),
    ]


@pytest.mark.parametrize(
    ("completion", "texts"),
    [
        ("    a = 1\n    b = (2 +", ["    a = 1\n"][:0]),
        ("    a = 1\n    b = 2\n    return a +", ["    a = 1\n"]),
        ("    a = 1\n    b = 2\n    return a", ["    a = 1\n", "    a = 1\n    b = 2\n"]),
        ("    for i in values:\n        a", []),
        ("nonsense (", []),
        ("", []),
    ],
)
def test_a_sample_that_is_cut_off_has_no_last_statement(completion, texts):
    rows = bodies(completion, is_complete=False)
    assert [body.text for body in rows] == texts
    assert not any(body.is_final for body in rows)


def test_what_follows_the_function_and_statements_on_one_line():
    assert [b.text for b in bodies("    a = 1; b = 2\n    return a\n\nweigh(1, 2)\n")] == [
        "    a = 1; b = 2\n",
        "    a = 1; b = 2\n    return a\n",
    ]


def test_a_generator_isnt_stopped_early():
    text = "    yield 1\n    yield 2\n"
    assert bodies(text) == [Body(text, 1, is_final=True)]
    assert bodies(text, is_complete=False) == []


def test_a_prompt_without_a_last_line_feed():
    assert bodies("\n    return 1", prompt=PROMPT.rstrip()) == [
        Body("\n    return 1\n", 1, is_final=True)
    ]


def test_letters_of_several_bytes_and_form_feeds_count_as_one():
    text = '    a = "größe\f"\n    return a\n'
    assert [b.text for b in bodies(text)] == ['    a = "größe\f"\n', text]


def test_an_open_program_returns_its_variables():
    def run(body, *arguments):
        namespace: dict = {}
        exec(make_program(PROMPT, body, "    "), namespace)
        return namespace["weigh"](*arguments)

    text = "    total = sum(values)\n    lazy = iter(values)\n"
    mark, variables = run(Body(text, 2, is_final=False), [1, 2], 3)
    assert mark == OPEN
    assert type(variables.pop("lazy")) is object  # nothing draws from it
    assert variables == {"values": [1, 2], "factor": 3, "total": 3}
    early = Body("    if factor:\n        return 7\n", 1, is_final=False)
    assert run(early, [], 1) == 7
    assert run(Body("    return factor\n", 1, is_final=True), [], 5) == 5


def test_variables_of_loops_at_the_top():
    source = PROMPT + "    for i, (a, b) in values:\n        for c in a:\n            pass\n"
    assert read_loop_variables(source, "weigh") == {"i", "a", "b"}
    assert read_loop_variables("(", "weigh") == set()


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_lines_end_as_ast_counts_them(end):
    text = f'    a = """x{end}y{end}z"""{end}    b = 1{end}    return b{end}'
    rows = bodies(text)
    assert [body.statements for body in rows] == [1, 2, 3]
    assert rows[0].text.rstrip() == f'    a = """x{end}y{end}z"""'
    assert [body.is_final for body in rows] == [False, False, True]
