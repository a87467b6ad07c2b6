"""Stop strings: an automaton over tokens for the device, the exact cut on bytes for the host."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from codex_jax import InputError

# Where a Python function ends, as the Codex paper stops (section 2.1).
PAPER_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")

FOUND = 1  # the automaton's absorbing state; 0 is its start


def stop_table(token_bytes: Sequence[bytes], stops: Sequence[str]) -> np.ndarray:
    """int16 (states, V): the state after a token, from each state; `FOUND` once a stop was said.

    Aho and Corasick's automaton over bytes, run through every token: a stop is found wherever it
    begins and ends, across tokens or inside one.

    Raises:
      InputError: an empty stop string.
    """
    if "" in stops:
        raise InputError("stops holds an empty string, which every text contains; leave it out")
    by_byte = _automaton([stop.encode() for stop in stops])
    lengths = np.array([len(token) for token in token_bytes])
    padded = np.zeros((len(token_bytes), max(lengths, default=0)), np.uint8)
    for row, token in zip(padded, token_bytes, strict=True):
        row[: len(token)] = np.frombuffer(token, np.uint8)
    states = np.repeat(np.arange(len(by_byte), dtype=np.int16)[:, None], len(token_bytes), axis=1)
    for place in range(padded.shape[1]):
        longer = np.flatnonzero(lengths > place)
        states[:, longer] = by_byte[states[:, longer], padded[longer, place]]
    return states


def _automaton(stops: Sequence[bytes]) -> np.ndarray:
    """int16 (states, 256): the next state for each byte."""
    children: list[dict[int, int]] = [{}, {}]
    for stop in stops:
        state = 0
        for place, byte in enumerate(stop):
            if state == FOUND:
                break  # a stop that begins with another is never reached
            last = place == len(stop) - 1
            if last:
                children[state][byte] = FOUND
            elif byte not in children[state]:
                children.append({})
                children[state][byte] = len(children) - 1
            state = children[state][byte]
    table = np.zeros((len(children), 256), np.int16)
    fallback = [0] * len(children)
    queue = deque([0])
    while queue:
        state = queue.popleft()
        if state:
            table[state] = table[fallback[state]]
        for byte, child in children[state].items():
            fallback[child] = int(table[state, byte]) if state else 0
            table[state, byte] = child
            queue.append(child)
    return _absorbing(table, fallback)


def _absorbing(table: np.ndarray, fallback: list[int]) -> np.ndarray:
    """Makes FOUND final, and every state that ends with a whole stop lead to it."""
    found = {FOUND}
    for state in range(2, len(table)):
        back = fallback[state]  # a shorter end of the same text, down to none
        while back > FOUND:
            back = fallback[back]
        if back == FOUND:
            found.add(state)
    table[np.isin(table, list(found))] = FOUND
    table[FOUND] = FOUND
    return table


def cut(text: bytes, stops: Sequence[str]) -> tuple[bytes, bool]:
    """(what stands before the earliest stop string, whether there was one)."""
    places = [place for stop in stops if (place := text.find(stop.encode())) >= 0]
    return (text[: min(places)], True) if places else (text, False)
