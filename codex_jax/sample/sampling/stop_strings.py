"""Stop strings: an automaton over tokens for the device, exact truncation of bytes for the host."""

import collections
import functools
from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Int16

from codex_jax import InputError
from codex_jax.sample.sampling.byte_automaton import STOPPED_STATE, make_automaton, run
from codex_jax.sample.sampling.token_healing import TextTokens, tail_states

# Ends of a Python function, as in the Codex paper (section 2.1).
PAPER_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")


def check_stops(stops: Sequence[str]) -> tuple[str, ...]:
    """Returns the stops, or raises InputError for one that is empty or no text of UTF-8."""
    for stop in stops:
        if not stop:
            raise InputError("stops contains an empty string, which every text contains; remove it")
        try:
            stop.encode()
        except UnicodeEncodeError:
            raise InputError(f"stops contains {stop!r}, a lone surrogate; remove it") from None
    return tuple(stops)


def stop_table(token_bytes: Sequence[bytes], stops: Sequence[str]) -> Int16[np.ndarray, "states V"]:
    """The state after each token, from each state; `STOPPED_STATE` once a stop is complete.

    It is Aho and Corasick's automaton over bytes, run through every token: a stop is recognized
    wherever it begins and ends, across tokens or inside one.

    Raises:
      InputError: an empty stop string, or one with a lone surrogate.
    """
    check_stops(stops)
    automaton = make_automaton([stop.encode() for stop in stops])
    return run(automaton, np.arange(len(automaton), dtype=np.int16), token_bytes)


_Key = tuple[tuple[str, ...], bytes]  # stops, and the tail of a prompt to spell first


class StopAutomata:
    """Stop automata of several requests in one table of fixed size, `table`, int16 (states, V).

    An automaton stays in the table while a sample uses it, and afterwards until its space is
    needed. State 0 stops at end of text alone; `STOPPED_STATE` is common to all. A sample that
    begins with a prompt's tail (see token_healing) has states of its own in front of its stops'.
    """

    def __init__(
        self,
        token_bytes: Sequence[bytes],
        *,
        eos_ids: Sequence[int],
        states: int,
        special_ids: Collection[int] = (),
    ):
        self._token_bytes, self._eos_ids = token_bytes, list(eos_ids)
        self._special_ids = {*eos_ids, *special_ids}
        self.table = np.zeros((max(states, 2), len(token_bytes)), np.int16)
        self.table[STOPPED_STATE] = STOPPED_STATE
        self.table[:, self._eos_ids] = STOPPED_STATE
        self.version = 0  # increases when the table changes
        self._spans: dict[_Key, tuple[int, int]] = {((), b""): (0, 2)}
        self._users: collections.Counter[_Key] = collections.Counter({((), b""): 1})

    @property
    def longest_tail(self) -> int:
        """The most bytes of a tail for which there is space beside state 0 and `STOPPED_STATE`."""
        return len(self.table) - 3

    def acquire(self, stops: Sequence[str], tail: bytes = b"", *, users: int = 1) -> int | None:
        """The start state of these stops; None (and nothing to release) if there is no space."""
        key = tuple(stops), tail
        if tail and self.acquire(stops, users=users) is None:
            return None
        if key not in self._spans and not (self._add_tail(key) if tail else self._add(key)):
            if tail:
                self.release(stops, users=users)
            return None
        self._users[key] += users
        return self._spans[key][0]

    def release(self, stops: Sequence[str], tail: bytes = b"", *, users: int = 1) -> None:
        """Subtracts users."""
        for key in {(tuple(stops), part) for part in (b"", tail)}:
            self._users[key] -= users
            if not self._users[key]:
                del self._users[key]

    def _add(self, key: _Key) -> bool:
        stops = key[0]
        check_stops(stops)
        # Every byte of every stop is at most one state: an upper bound without building it.
        if sum(len(stop.encode()) for stop in stops) > 4 * len(self.table):
            return False
        states = stop_table(self._token_bytes, stops)
        first = self._reserve(key, len(states) - 1)  # all states but STOPPED_STATE
        if first is None:
            return False
        numbers = _state_numbers(first, len(states))
        rows = numbers[states[np.arange(len(states)) != STOPPED_STATE]]
        rows[:, self._eos_ids] = STOPPED_STATE
        self.table[first : first + len(rows)] = rows
        return True

    def _add_tail(self, key: _Key) -> bool:
        """Adds the states of a tail, whose stops are in the table."""
        stops, tail = key
        first = self._reserve(key, len(tail) + 1)
        if first is None:
            return False
        start = self._spans[stops, b""][0]
        automaton = make_automaton([stop.encode() for stop in stops])
        self.table[first : first + len(tail) + 1] = tail_states(
            self._text_tokens,
            tail,
            first=first,
            automaton=automaton,
            to_state=_state_numbers(start, len(automaton)),
            after=self.table[start],
        )
        return True

    @functools.cached_property
    def _text_tokens(self) -> TextTokens:
        return TextTokens(self._token_bytes, self._special_ids)

    def _reserve(self, key: _Key, size: int) -> int | None:
        """Reserves `size` states and returns the first, if need be where nobody uses others."""
        first = self._find_gap(size)
        if first is None:
            self._spans = {key: span for key, span in self._spans.items() if self._users[key]}
            first = self._find_gap(size)
        if first is not None:
            self._spans[key] = (first, first + size)
            self.version += 1
        return first

    def _find_gap(self, size: int) -> int | None:
        """The first of `size` consecutive free states."""
        end = 0
        for first, last in sorted(self._spans.values()):
            if first - end >= size:
                return end
            end = max(end, last)
        return end if len(self.table) - end >= size else None


def _state_numbers(first: int, count: int) -> Int16[np.ndarray, "states"]:
    """The numbers in the table of an automaton's states, whose start is `first` there."""
    return np.r_[first, STOPPED_STATE, np.arange(first + 1, first + count - 1)].astype(np.int16)


def truncate_at_stop(text: bytes, stops: Sequence[str]) -> tuple[bytes, bool]:
    """(text before the stop string that is complete first, whether there was one).

    The first to end counts, not the first to begin: later text can't change it, however the text
    arrives.
    """
    present = [stop for stop in map(str.encode, stops) if stop in text]
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in present]
    return (text[: min(ends)[1]], True) if ends else (text, False)
