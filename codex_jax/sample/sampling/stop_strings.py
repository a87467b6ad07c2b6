"""Stop strings: an automaton over tokens for the device, the exact cut on bytes for the host."""

import collections
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


class Automata:
    """Stop automata of several requests in one table of fixed size, `table`, int16 (states, V).

    A set of stops lies there while somebody holds it, and after that until its room is wanted.
    State 0 says that nothing but end of text stops, and FOUND is everybody's.
    """

    def __init__(self, token_bytes: Sequence[bytes], *, eos_id: int, states: int):
        self._token_bytes, self._eos_id = token_bytes, eos_id
        self.table = np.zeros((max(states, 2), len(token_bytes)), np.int16)
        self.table[FOUND] = FOUND
        self.table[:, eos_id] = FOUND
        self.changed = False  # set by an addition, for the holder of a copy to clear
        self._spans: dict[tuple[str, ...], tuple[int, int]] = {(): (0, 2)}
        self._holders: collections.Counter[tuple[str, ...]] = collections.Counter({(): 1})

    def hold(self, stops: Sequence[str]) -> int | None:
        """The state that these stops start in; None where they find no room, and aren't held."""
        key = tuple(stops)
        if key not in self._spans and not self._add(key):
            return None
        self._holders[key] += 1
        return self._spans[key][0]

    def release(self, stops: Sequence[str]) -> None:
        """Undoes one `hold`."""
        self._holders[tuple(stops)] -= 1

    def _add(self, key: tuple[str, ...]) -> bool:
        # Every byte of every stop is at most a state: a bound that costs nothing to know.
        if sum(len(stop.encode()) for stop in key) > 4 * len(self.table):
            return False
        own = stop_table(self._token_bytes, key)
        size = len(own) - 1  # all states but FOUND
        place = self._gap(size)
        if place is None:
            unused = [key for key in self._spans if not self._holders[key]]
            for other in unused:
                del self._spans[other]
            place = self._gap(size)
        if place is None:
            return False
        number = np.r_[place, FOUND, np.arange(place + 1, place + size)].astype(np.int16)
        self.table[place : place + size] = number[own[np.arange(len(own)) != FOUND]]
        self.table[place : place + size, self._eos_id] = FOUND
        self._spans[key], self.changed = (place, place + size), True
        return True

    def _gap(self, size: int) -> int | None:
        """Where the first `size` free states begin."""
        end = 0
        for first, last in sorted(self._spans.values()):
            if first - end >= size:
                return end
            end = max(end, last)
        return end if len(self.table) - end >= size else None


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
    queue = collections.deque([0])
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
    """(what stands before the stop string that is whole first, whether there was one).

    First to end, not to begin: what comes later can't change it, however the text arrives.
    """
    found = [stop for stop in map(str.encode, stops) if stop in text]
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in found]
    return (text[: min(ends)[1]], True) if ends else (text, False)
