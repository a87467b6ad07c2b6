"""Aho and Corasick's automaton over bytes, and its steps over strings such as tokens."""

import collections
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int16

STOPPED_STATE = 1  # the automaton's absorbing state; 0 is its start


def make_automaton(stops: Sequence[bytes]) -> Int16[np.ndarray, "states 256"]:
    """The next state for each byte, from each state."""
    children = _trie(stops)
    table = np.zeros((len(children), 256), np.int16)
    fallback = [0] * len(children)
    queue = collections.deque([0])
    while queue:
        state = queue.popleft()
        if state:
            table[state] = table[fallback[state]]
        for byte, child in children[state].items():
            fallback[child] = int(table[state, byte]) if state else 0
            table[state, byte] = child
            queue.append(child)
    return _make_absorbing(table, fallback)


def run(
    table: Int16[np.ndarray, "states 256"],
    starts: Int16[np.ndarray, "S"],
    strings: Sequence[bytes],
) -> Int16[np.ndarray, "S N"]:
    """The state after each string, from each start."""
    lengths = np.array([len(string) for string in strings], int)
    padded = np.zeros((len(strings), max(lengths, default=0)), np.uint8)
    for row, string in zip(padded, strings, strict=True):
        row[: len(string)] = np.frombuffer(string, np.uint8)
    states = np.repeat(starts[:, None], len(strings), axis=1)
    for position in range(padded.shape[1]):
        longer = np.flatnonzero(lengths > position)
        states[:, longer] = table[states[:, longer], padded[longer, position]]
    return states


def _trie(stops: Sequence[bytes]) -> list[dict[int, int]]:
    """The next states by byte, of each state; a complete stop leads to `STOPPED_STATE`."""
    children: list[dict[int, int]] = [{}, {}]
    for stop in stops:
        state = 0
        for position, byte in enumerate(stop):
            if state == STOPPED_STATE:
                break  # a stop that begins with another stop is never reached
            if position == len(stop) - 1:
                children[state][byte] = STOPPED_STATE
            elif byte not in children[state]:
                children.append({})
                children[state][byte] = len(children) - 1
            state = children[state][byte]
    return children


def _make_absorbing(
    table: Int16[np.ndarray, "states 256"], fallback: list[int]
) -> Int16[np.ndarray, "states 256"]:
    """Makes `STOPPED_STATE` final, and replaces by it every state that ends with a stop."""
    final = {STOPPED_STATE}
    for state in range(2, len(table)):
        suffix = fallback[state]  # a shorter suffix of the same text, down to the empty one
        while suffix > STOPPED_STATE:
            suffix = fallback[suffix]
        if suffix == STOPPED_STATE:
            final.add(state)
    table[np.isin(table, list(final))] = STOPPED_STATE
    table[STOPPED_STATE] = STOPPED_STATE
    return table
