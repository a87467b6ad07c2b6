import hypothesis
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from codex_jax import InputError
from codex_jax.sample.sampling.stop_strings import (
    PAPER_STOPS,
    STOPPED_STATE,
    StopAutomata,
    stop_table,
    truncate_at_stop,
)

words = st.text("ab\né", min_size=1, max_size=5)


@hypothesis.given(st.lists(words, min_size=1, max_size=6), st.lists(words, min_size=1, max_size=12))
@settings(max_examples=300)
def test_the_automaton_finds_what_a_search_finds(stops, tokens):
    """Stops inside one token, across several, and of several bytes."""
    vocabulary = [token.encode() for token in sorted(set(tokens))]
    table = stop_table(vocabulary, stops)
    state, text = 0, b""
    for token in tokens:
        index = vocabulary.index(token.encode())
        state, text = table[state, index], text + vocabulary[index]
        assert (state == STOPPED_STATE) == any(stop.encode() in text for stop in stops)


def test_a_character_split_over_tokens_stops():
    table = stop_table([b"\xc3", b"\xa9", b"x"], ["é"])
    assert table[table[0, 0], 1] == STOPPED_STATE
    assert table[table[0, 0], 2] != STOPPED_STATE


def test_no_stops_never_stop():
    assert not (stop_table([b"a", b"b"], []) == STOPPED_STATE)[0].any()


@pytest.mark.parametrize("stop", PAPER_STOPS)
def test_the_five_stops_of_the_paper(stop):
    body = "    return 1\n\n    # inner\n    if x:\n        print(x)"
    assert truncate_at_stop((body + stop + " more").encode(), PAPER_STOPS) == (body.encode(), True)


def test_the_stop_that_is_whole_first_cuts():
    assert truncate_at_stop(b"x\naay", ["a", "\naa"]) == (b"x\n", True)
    assert truncate_at_stop(b"x\naay", ["aa", "\naa"]) == (b"x", True)


def test_without_a_stop_nothing_is_cut():
    assert truncate_at_stop(b"    return 1", PAPER_STOPS) == (b"    return 1", False)


def test_an_empty_stop_is_refused():
    with pytest.raises(InputError, match="empty string"):
        stop_table([b"a"], [""])


def test_the_table_is_small():
    table = stop_table([bytes([n]) for n in range(256)], PAPER_STOPS)
    assert table.dtype == np.int16
    assert len(table) <= 2 + sum(map(len, PAPER_STOPS))


def test_automata_share_a_table_and_reuse_the_space_of_unused_ones():
    token_bytes = [bytes([n]) for n in range(128)]
    automata = StopAutomata(token_bytes, eos_ids=[0], states=6)
    first = automata.acquire(["abc"])
    assert automata.acquire(["abc"]) == first
    assert automata.acquire(["xyz!"]) is None  # four states, of which one is left
    version = automata.version
    automata.release(["abc"])
    automata.release(["abc"])
    second = automata.acquire(["xyz!"])
    assert second is not None
    assert automata.version > version
    state = second
    for byte in b"xyz!":
        assert state != STOPPED_STATE
        state = automata.table[state, byte]
    assert state == STOPPED_STATE == automata.table[second, 0]
    assert (automata.table[0, 1:] == 0).all()  # state 0 stops at end of text alone


def test_stops_that_nobody_uses_any_more_leave_nothing_behind():
    """A server meets other stops in every request, for months."""
    automata = StopAutomata([b"a", b"b", b"c"], eos_ids=[2], states=16)
    for number in range(50):
        stops = ["ab" + "b" * (number % 5), f"{number}"]
        assert automata.acquire(stops, b"a" * (number % 3), users=2) is not None
        automata.release(stops, b"a" * (number % 3), users=2)
    assert len(automata._users) == 1
    assert len(automata._spans) <= 16
