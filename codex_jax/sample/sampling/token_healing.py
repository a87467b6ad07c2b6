"""Token healing: a prompt's last tokens are taken off where a longer token could stand there.

A tokenizer may join the end of a prompt with what follows: a newline with the indentation behind
it. A model hardly ever saw the newline alone before indentation, so after a prompt that ends in one
it writes something else. Therefore the last tokens are taken off, and the first sampled tokens are
held to spell their bytes, the *tail*, again, the last of them with any bytes behind it. Samples are
distributed as the model's samples of the shorter prompt are, given that their text begins with the
tail. The completion begins after the prompt as it was given.

So many tokens are taken off that every way in which the tokenizer splits any continuation of the
prompt begins with those that stay: Phan et al. 2024 and Vieira et al. 2024 say why fewer aren't
enough (arXiv 2410.09303, 2412.03719).
"""

import bisect
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
from jaxtyping import Int16

from codex_jax.sample.sampling import byte_automaton
from codex_jax.tokenizer import Tokenizer

MAX_TAIL = 60  # bytes
REFUSED_STATE = -1  # after tokens that don't spell the tail

_WINDOW = 2048  # bytes at a prompt's end that are split anew


class TextTokens:
    """The tokens that are text, sorted by their bytes.

    Args:
      token_bytes: The bytes of each token of the vocabulary.
      special_ids: Tokens that no text has, which are left out.
    """

    def __init__(self, token_bytes: Sequence[bytes], special_ids: Collection[int]):
        special_ids = set(special_ids)
        rows = [(b, n) for n, b in enumerate(token_bytes) if b and n not in special_ids]
        rows.sort()
        self._strings = [string for string, _ in rows]
        self._ids = np.array([number for _, number in rows], np.int64)
        self.longest = max(map(len, self._strings), default=0)

    def equal(self, string: bytes) -> np.ndarray:
        """Ids of the tokens with these bytes."""
        first = bisect.bisect_left(self._strings, string)
        return self._ids[first : bisect.bisect_right(self._strings, string)]

    def longer(self, prefix: bytes) -> tuple[np.ndarray, list[bytes]]:
        """(ids, bytes behind the prefix) of the tokens that begin with it and go on."""
        first = bisect.bisect_right(self._strings, prefix)
        last = bisect.bisect_right(self._strings, prefix + b"\xff" * self.longest)
        return self._ids[first:last], [s[len(prefix) :] for s in self._strings[first:last]]

    def has_longer(self, prefix: bytes) -> bool:
        """Whether any token begins with it and goes on."""
        first = bisect.bisect_right(self._strings, prefix)
        return first < len(self._strings) and self._strings[first].startswith(prefix)


class TokenHealer:
    """Counts the tokens to take off prompts.

    Args:
      encode: Splits a text into tokens.
      token_bytes: The bytes of each token of the vocabulary.
      special_ids: Tokens that no text has.
    """

    def __init__(
        self,
        encode: Callable[[str], Sequence[int]],
        token_bytes: Sequence[bytes],
        special_ids: Collection[int],
    ):
        self._encode, self._token_bytes = encode, token_bytes
        self._text_tokens = TextTokens(token_bytes, special_ids)

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer) -> "TokenHealer":
        """The healer of a tokenizer's prompts."""
        token_bytes = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        return cls(tokenizer.encode, token_bytes, tokenizer.special_ids)

    def count(self, prompt: str, tokens: Sequence[int]) -> int:
        """The number of last tokens to take off; the first token of all always stays.

        Args:
          prompt: The text.
          tokens: Its tokens, perhaps behind others that begin a text.
        """
        text = prompt.encode()
        ends = self._ends_from_behind(text, tokens)
        cut = self._stable_boundary(text, ends)
        count = sum(end > cut for end in ends)
        count = min(count, len(tokens) - 1)
        while count and not self._is_spellable(text[ends[count] :]):
            count -= 1
        return count

    def _is_spellable(self, tail: bytes) -> bool:
        """Whether tokens are sure to lead to the tail's end: all of its bytes are tokens."""
        has_tokens = (len(self._text_tokens.equal(bytes([byte]))) for byte in set(tail))
        return len(tail) <= MAX_TAIL and all(has_tokens)

    def _ends_from_behind(self, text: bytes, tokens: Sequence[int]) -> list[int]:
        """The offset behind each token of the text, the last token's first; then 0.

        It is empty where the tokens' bytes aren't the text.
        """
        ends, end = [], len(text)
        for token in reversed(tokens):
            if not end:
                break
            ends.append(end)
            string = self._token_bytes[token]
            if len(string) == end + 1 and string == b" " + text[:end]:  # SentencePiece's, in front
                string = string[1:]
            if not text.endswith(string, 0, end):
                return []
            end -= len(string)
        return [*ends, 0] if not end else []

    def _stable_boundary(self, text: bytes, ends: list[int]) -> int:
        """The last boundary of the tokens that those of every continuation of the text have."""
        if not ends:
            return len(text)
        boundaries = set(ends)
        window = min(end for end in ends if end >= len(text) - _WINDOW and _is_boundary(text, end))
        for end in self._crossing_starts(text):
            boundaries &= self._boundaries(text[:end], max(0, min(window, end)))
        return max(boundaries)

    def _crossing_starts(self, text: bytes) -> Iterator[int]:
        """Offsets at which a token can begin that goes on beyond the text."""
        for size in range(1, min(len(text), self._text_tokens.longest - 1) + 1):
            if self._text_tokens.has_longer(text[-size:]):
                yield len(text) - size

    def _boundaries(self, text: bytes, first: int) -> set[int]:
        """Offsets between the tokens of a text from an offset on, its ends included."""
        window = text[first:].decode(errors="ignore")  # without the half of a character
        sizes = (-len(self._token_bytes[token]) for token in reversed(self._encode(window)))
        return {first, *itertools.accumulate(sizes, initial=first + len(window.encode()))}


def _is_boundary(text: bytes, offset: int) -> bool:
    """Whether an offset is between two characters."""
    return offset == len(text) or text[offset] & 0xC0 != 0x80


def tail_states(
    text_tokens: TextTokens,
    tail: bytes,
    *,
    first: int,
    automaton: Int16[np.ndarray, "states 256"],
    to_state: Int16[np.ndarray, "states"],
    after: Int16[np.ndarray, "V"],
) -> Int16[np.ndarray, "T V"]:
    """Rows of the table of stop automata for a sample that has to spell a tail.

    Row t is the state after t bytes of the tail, and the last row is that after all of it, from
    which samples go on as without a tail. A token that isn't in the tail's way leads to
    `REFUSED_STATE`; one that ends beyond the tail, to the state of the stops after its last bytes.

    Args:
      text_tokens: The vocabulary.
      tail: Bytes to spell, at least one.
      first: The number of the first row.
      automaton: Of the stops, by byte.
      to_state: The numbers of the automaton's states.
      after: The next states of its start.
    """
    rows = np.full((len(tail) + 1, len(after)), REFUSED_STATE, np.int16)
    rows[-1] = after
    for offset in range(len(tail)):
        rest = tail[offset:]
        for size in range(1, len(rest) + 1):
            rows[offset, text_tokens.equal(rest[:size])] = first + offset + size
        ids, beyond = text_tokens.longer(rest)
        states = byte_automaton.run(automaton, np.zeros(1, np.int16), beyond)[0]
        rows[offset, ids] = to_state[states]
    return rows
