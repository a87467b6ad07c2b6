"""Pieces: distinct programs with their masses, and their composition as one function."""

import math

import pytest

from codex_jax.records import Completion
from codex_jax.solve.pieces import Piece, collect_pieces, compose, find_function

PROMPT = 'def f(s: str):\n    """Do it."""\n'


def sample(text: str, mass: float = 0.25) -> Completion:
    return Completion(task_id="t", completion=text, sum_logprob=math.log(mass))


def test_equal_texts_count_once_and_equal_trees_add_up():
    samples = [
        sample("    return s\n", 0.25),
        sample("    return s\n", 0.25),
        sample("    return (s)  # the same\n", 0.125),
        sample("    return s[1:]\n", 0.3),
    ]
    pieces = collect_pieces(0, 1, PROMPT, "f", samples)
    assert [piece.mass for piece in pieces] == pytest.approx([0.375 / 0.3, 1.0])
    assert pieces[0].source == PROMPT + "    return s\n"


def test_a_text_of_several_tokenizations_has_its_likeliest_mass_in_any_order():
    samples = [sample("    return s\n", mass) for mass in (0.25, 0.5, 0.125)]
    samples.append(sample("    return s[1:]\n", 0.3))
    masses = [
        [piece.mass for piece in collect_pieces(0, 1, PROMPT, "f", order)]
        for order in (samples, samples[::-1])
    ]
    assert masses == [pytest.approx([1.0, 0.6])] * 2


@pytest.mark.parametrize("text", ["    return (\n", "return s\n", "\x00", "    x = '\ud800'\n"])
def test_texts_that_do_not_compile_are_no_pieces(text):
    pieces = collect_pieces(0, 1, PROMPT, "f", [sample(text), sample("    return s\n")])
    assert [piece.source for piece in pieces] == [PROMPT + "    return s\n"]


def test_a_sample_without_its_log_probability_has_mass_one():
    (piece,) = collect_pieces(0, 1, PROMPT, "f", [Completion(task_id="t", completion="    s\n")])
    assert piece.mass == 1.0


def piece(body: str) -> Piece:
    return Piece(0, 1, PROMPT + body, 1.0)


@pytest.mark.parametrize(
    ("bodies", "argument", "result"),
    [
        (["    return s + 'a'\n"], "x", "xa"),
        (["    s = s[1:]\n    return s\n", "    return s[::-1]\n"], "abc", "cb"),
        (["    if s:\n        return s.upper()\n    return 'empty'\n"] * 3, "", "EMPTY"),
        (["    import re\n    return re.sub('a', 'b', s)\n"] * 2, "cab", "cbb"),
        (["    def g(x):\n        return x * 2\n    return g(s)\n"] * 2, "a", "aaaa"),
    ],
)
def test_the_composed_body_applies_all_pieces(bodies, argument, result):
    namespace: dict = {}
    exec(PROMPT + compose([piece(body) for body in bodies], "f", "s"), namespace)
    assert namespace["f"](argument) == result


def test_a_recursive_piece_calls_itself():
    recursive = piece("    return s if len(s) < 2 else f(s[1:])\n")
    namespace: dict = {}
    exec(PROMPT + compose([recursive, piece("    return s + '!'\n")], "f", "s"), namespace)
    assert namespace["f"]("abc") == "c!"


def test_the_last_function_of_a_name_counts():
    assert find_function("def f(): return 1\ndef f(): return 2\n", "f").body[0].value.value == 2
    with pytest.raises(ValueError, match="no function f"):
        find_function("def g(): pass\n", "f")


def test_masses_count_by_their_ratios_however_small_they_are():
    samples = [
        Completion(task_id="t", completion="    return s\n", sum_logprob=-2000.0),
        Completion(
            task_id="t", completion="    return s[1:]\n", sum_logprob=-2000.0 + math.log(0.5)
        ),
    ]
    pieces = collect_pieces(0, 1, PROMPT, "f", samples)
    assert [piece.mass for piece in pieces] == pytest.approx([1.0, 0.5])
