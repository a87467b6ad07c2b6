"""Stop strings: an automaton over tokens for the device, exact truncation of bytes for the host."""

import collections
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int16

from codex_jax import InputError

# Ends of a Python function, as in the Codex paper (section 2.1).
PAPER_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")

STOPPED_STATE = 1  # the automaton's absorbing state; 0 is its start


def stop_table(token_bytes: Sequence[bytes], stops: Sequence[str]) -> Int16[np.ndarray, "states V"]:
    """The state after each token, from each state; `STOPPED_STATE` once a stop is complete.

    It is Aho and Corasick's automaton over bytes, run through every token: a stop is recognized
    wherever it begins and ends, across tokens or inside one.

    Raises:
      InputError: an empty stop string.
    """
    if "" in stops:
        raise InputError("stops contains an empty string, which every text contains; remove it")
    by_byte = _automaton([stop.encode() for stop in stops])
    lengths = np.array([len(token) for token in token_bytes])
    padded = np.zeros((len(token_bytes), max(lengths, default=0)), np.uint8)
    for row, token in zip(padded, token_bytes, strict=True):
        row[: len(token)] = np.frombuffer(token, np.uint8)
    states = np.repeat(np.arange(len(by_byte), dtype=np.int16)[:, None], len(token_bytes), axis=1)
    for position in range(padded.shape[1]):
        longer = np.flatnonzero(lengths > position)
        states[:, longer] = by_byte[states[:, longer], padded[longer, position]]
    return states


class StopAutomata:
    """Stop automata of several requests in one table of fixed size, `table`, int16 (states, V).

    An automaton stays in the table while a sample uses it, and afterwards until its space is
    needed. State 0 stops at end of text alone; `STOPPED_STATE` is common to all.
    """

    def __init__(self, token_bytes: Sequence[bytes], *, eos_ids: Sequence[int], states: int):
        self._token_bytes, self._eos_ids = token_bytes, list(eos_ids)
        self.table = np.zeros((max(states, 2), len(token_bytes)), np.int16)
        self.table[STOPPED_STATE] = STOPPED_STATE
        self.table[:, self._eos_ids] = STOPPED_STATE
        self.version = 0  # increases when the table changes
        self._spans: dict[tuple[str, ...], tuple[int, int]] = {(): (0, 2)}
        self._users: collections.Counter[tuple[str, ...]] = collections.Counter({(): 1})

    def acquire(self, stops: Sequence[str]) -> int | None:
        """The start state of these stops; None (and nothing to release) if there is no space."""
        key = tuple(stops)
        if key not in self._spans and not self._add(key):
            return None
        self._users[key] += 1
        return self._spans[key][0]

    def release(self, stops: Sequence[str]) -> None:
        """Undoes one `acquire`."""
        self._users[tuple(stops)] -= 1

    def _add(self, key: tuple[str, ...]) -> bool:
        # Every byte of every stop is at most one state: an upper bound without building it.
        if sum(len(stop.encode()) for stop in key) > 4 * len(self.table):
            return False
        states = stop_table(self._token_bytes, key)
        size = len(states) - 1  # all states but STOPPED_STATE
        first = self._find_gap(size)
        if first is None:
            self._spans = {key: span for key, span in self._spans.items() if self._users[key]}
            first = self._find_gap(size)
        if first is None:
            return False
        renumbered = np.r_[first, STOPPED_STATE, np.arange(first + 1, first + size)]
        rows = states[np.arange(len(states)) != STOPPED_STATE]
        self.table[first : first + size] = renumbered.astype(np.int16)[rows]
        self.table[first : first + size, self._eos_ids] = STOPPED_STATE
        self._spans[key] = (first, first + size)
        self.version += 1
        return True

    def _find_gap(self, size: int) -> int | None:
        """The first of `size` consecutive free states."""
        end = 0
        for first, last in sorted(self._spans.values()):
            if first - end >= size:
                return end
            end = max(end, last)
        return end if len(self.table) - end >= size else None


def _automaton(stops: Sequence[bytes]) -> Int16[np.ndarray, "states 256"]:
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


def truncate_at_stop(text: bytes, stops: Sequence[str]) -> tuple[bytes, bool]:
    """(text before the stop string that is complete first, whether there was one).

    The first to end counts, not the first to begin: later text can't change it, however the text
    arrives.
    """
    present = [stop for stop in map(str.encode, stops) if stop in text]
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in present]
    return (text[: min(ends)[1]], True) if ends else (text, False)
