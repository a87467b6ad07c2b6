"""Tokens that are taken off a prompt, and the table by which samples spell them again."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from codex_jax.sample.sampling.byte_automaton import make_automaton, run
from codex_jax.sample.sampling.stop_strings import STOPPED_STATE, StopAutomata
from codex_jax.sample.sampling.token_healing import (
    MAX_TAIL,
    REFUSED_STATE,
    TextTokens,
    TokenHealer,
)
from codex_jax.tokenizer import Tokenizer

CODE = ["def f(x):\n    return x\n\n\nclass A:\n        pass\n\tprint('héllo wörld')\n"] * 3
BPE = Tokenizer.train(CODE, vocab_size=400)


def tail(prompt, tokenizer=BPE):
    """The text that is taken off."""
    tokens = [tokenizer.eos_id, *tokenizer.encode(prompt)]
    count = TokenHealer.from_tokenizer(tokenizer).count(prompt, tokens)
    return tokenizer.decode(tokens[len(tokens) - count :])


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("def f(x):\n", "\n"),  # indentation may follow
        ("def f(x):\n  ", "\n  "),
        ("def f(x):", ""),  # a tokenizer that joins nothing with a colon
        ("ret", "ret"),  # " return" is a token, and begins in front of the prompt
        ("\n    ret", " ret"[1:]),
        ("", ""),
        ("x\n" + " " * 20, "\n" + " " * 20),
        ("x\n" + " " * 32, "\n" + " " * 32),  # the last space could begin a word
    ],
)
def test_known_tails(prompt, expected):
    assert tail(prompt) == expected


def test_bytes_alone_have_no_tail():
    plain = Tokenizer({bytes([byte]): byte for byte in range(256)})
    for prompt in ("def f(x):\n", "x\n   ", "é", ""):
        assert tail(prompt, plain) == ""


def test_the_first_token_stays():
    tokens = BPE.encode("\n")
    assert TokenHealer.from_tokenizer(BPE).count("\n", tokens) == 0
    assert TokenHealer.from_tokenizer(BPE).count("\n", [BPE.eos_id, *tokens]) == 1


def test_tokens_that_are_not_the_text_stay():
    assert TokenHealer.from_tokenizer(BPE).count("\n", [BPE.eos_id, *BPE.encode("other")]) == 0


def test_a_tail_is_no_longer_than_its_states():
    runs = {bytes([byte]): byte for byte in range(256)} | {b" " * 80: 256, b" " * 90: 257}
    assert tail("x" + " " * 80, Tokenizer(runs, pattern=r"x| +")) == ""
    assert MAX_TAIL < 80


TEXT = st.text(st.sampled_from("def (x):\n\treturnclas é"), max_size=30)


@hypothesis.given(TEXT, TEXT)
@hypothesis.settings(max_examples=200)
def test_every_continuation_begins_with_the_tokens_that_stay(prompt, continuation):
    tokens = BPE.encode(prompt)
    count = TokenHealer.from_tokenizer(BPE).count(prompt, [BPE.eos_id, *tokens])
    context = tokens[: len(tokens) - count]
    assert BPE.encode(prompt + continuation)[: len(context)] == context


def test_a_boundary_that_moves_is_no_boundary():
    """In "abc" the tokens are a, bc; in "abcd" they are ab, cd: both tokens are taken off."""
    ids = {bytes([byte]): byte for byte in range(256)} | {b"cd": 256, b"bc": 257, b"ab": 258}
    tokenizer = Tokenizer(ids, pattern=r"[\s\S]+")
    assert [tokenizer.decode([token]) for token in tokenizer.encode("abc")] == ["a", "bc"]
    assert [tokenizer.decode([token]) for token in tokenizer.encode("abcd")] == ["ab", "cd"]
    assert tail("abc", tokenizer) == "abc"


def test_a_space_that_a_tokenizer_puts_in_front_is_no_part_of_the_prompt():
    """SentencePiece's: "_def" begins a text that begins with def."""
    token_bytes = [b" def", b"\n", b"\n ", b"def"]
    ids = {"def": [0], "def\n": [0, 1], "": []}
    healer = TokenHealer(ids.__getitem__, token_bytes, [])
    assert healer.count("def\n", [0, 1]) == 1
    assert healer.count("def", [3, 0]) == 0  # no byte of it is a token


def test_long_prompts_are_split_anew_at_their_end_alone():
    prompt = "def f(x):\n    return é\n" * 3000
    assert tail(prompt) == "\n"
    assert tail("é" * 5000 + "\n") == "\n"


def test_text_tokens_are_found_by_their_beginning():
    tokens = TextTokens([b"a", b"ab", b"abc", b"b", b"", b"<ab>", b"ab"], special_ids=[5])
    assert sorted(tokens.equal(b"ab")) == [1, 6]
    ids, beyond = tokens.longer(b"a")
    assert sorted(zip(ids, beyond, strict=True)) == [(1, b"b"), (2, b"bc"), (6, b"b")]
    assert tokens.has_longer(b"ab")
    assert not tokens.has_longer(b"abc")
    assert not tokens.has_longer(b"<")


@hypothesis.given(st.binary(min_size=1, max_size=4), st.lists(st.text("ab\n", min_size=1)))
@hypothesis.settings(max_examples=100)
def test_the_table_spells_the_tail_then_stops_as_without_it(tail_bytes, stops):
    token_bytes = [b"!", *(bytes([n]) for n in range(256)), b"ab", b"a\n", b"\nab", b"b\n\n"]
    automata = StopAutomata(token_bytes, eos_ids=[0], states=256)
    hypothesis.assume((first := automata.acquire(stops, tail_bytes)) is not None)
    start = automata.acquire(stops)
    by_byte = make_automaton([stop.encode() for stop in stops])
    for offset in range(len(tail_bytes)):
        rest = tail_bytes[offset:]
        for token, string in enumerate(token_bytes):
            state = automata.table[first + offset, token]
            if token and rest.startswith(string):
                assert state == first + offset + len(string)
            elif token and string.startswith(rest):
                beyond = run(by_byte, np.zeros(1, np.int16), [string[len(rest) :]])[0, 0]
                assert (state == STOPPED_STATE) == (beyond == STOPPED_STATE)
                assert state == beyond + start - (beyond > STOPPED_STATE) or beyond <= 1
            else:
                assert state == REFUSED_STATE
    np.testing.assert_array_equal(automata.table[first + len(tail_bytes)], automata.table[start])


def test_a_tail_without_space_is_refused_and_nothing_is_held():
    automata = StopAutomata([bytes([n]) for n in range(256)] + [b"!"], eos_ids=[256], states=8)
    assert automata.acquire(["ab"], b"abc") is not None
    assert automata.acquire(["cd"], b"abc") is None
    automata.release(["ab"], b"abc")
    assert automata.acquire(["cd"], b"abc") is not None


def test_the_ends_of_a_long_prompt_s_tokens_are_found_in_one_pass():
    """Without a copy of the text for every token: this would be 50 GB of them."""
    token_bytes = [bytes([n]) for n in range(256)]
    healer = TokenHealer(lambda text: list(text.encode()), token_bytes, [])
    text = b"x" * 320_000
    assert healer._ends_from_behind(text, list(text)) == list(range(len(text), -1, -1))
    assert healer._ends_from_behind(text, [*text[:-1], 0]) == []
