"""Text of tokens as they arrive: up to the stop string, and never half a character."""

import codecs
from collections.abc import Callable, Collection, Iterable, Sequence

from codex_jax.sample.sampling.stop_strings import truncate_at_stop
from codex_jax.tokenizer import SPECIALS, Tokenizer

_, _PREFIX, _MIDDLE, _SUFFIX = SPECIALS


class Detokenizer:
    """Text of a sample as its tokens arrive. Emitted text is never taken back.

    Bytes are held back while they could begin a stop string or belong to an incomplete character.
    Invalid UTF-8 becomes U+FFFD; an incomplete character at the very end is dropped.
    """

    def __init__(
        self,
        token_bytes: Callable[[int], bytes],
        *,
        eos_ids: Collection[int],
        stops: Sequence[str] = (),
    ):
        self._token_bytes, self._eos_ids, self._stops = token_bytes, eos_ids, tuple(stops)
        self._encoded_stops = [stop.encode() for stop in stops]
        self._pending = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.stopped = False  # by a stop string or end of text
        self.emitted = 0  # bytes so far

    def feed(self, tokens: Iterable[int], *, skip: int = 0) -> str:
        """Text that these tokens complete, without `skip` first bytes; none once stopped."""
        for token in map(int, tokens):
            if self.stopped:
                break
            if token in self._eos_ids:
                self.stopped = True
                break
            pending = self._pending + self._token_bytes(token)[skip:]
            skip = 0
            self._pending, self.stopped = truncate_at_stop(pending, self._stops)
        end = len(self._pending) - (0 if self.stopped else self._possible_stop_length())
        return self._emit(end)

    def flush(self) -> str:
        """The remaining text, where a sample ends by its length."""
        return self._emit(len(self._pending))

    def _emit(self, end: int) -> str:
        emitted, self._pending = self._pending[:end], self._pending[end:]
        self.emitted += len(emitted)
        return self._decoder.decode(emitted)

    def _possible_stop_length(self) -> int:
        """The number of last bytes that could begin a stop."""
        longest = max(map(len, self._encoded_stops), default=1) - 1
        for size in range(min(longest, len(self._pending)), 0, -1):
            if any(stop.startswith(self._pending[-size:]) for stop in self._encoded_stops):
                return size
        return 0


def detokenize(
    tokens: Iterable[int],
    token_bytes: Callable[[int], bytes],
    *,
    eos_ids: Collection[int],
    stops: Sequence[str] = (),
    skip: int = 0,
) -> str:
    """The text of a finished sample, without `skip` bytes of its first token."""
    detokenizer = Detokenizer(token_bytes, eos_ids=eos_ids, stops=stops)
    return detokenizer.feed(tokens, skip=skip) + detokenizer.flush()


def encode_prompt(
    tokenizer: Tokenizer, prompt: str, suffix: str | None, *, begin_ids: Sequence[int]
) -> list[int]:
    """A prompt's tokens; with a suffix, in fill-in-the-middle order (prefix, suffix, middle).

    Args:
      tokenizer: The model's.
      prompt: Text before the completion.
      suffix: Text after the completion; None without infilling.
      begin_ids: Tokens in front, as training documents have them; an empty prompt without any is
        the end-of-text token.

    Raises:
      InputError: a suffix, and a tokenizer without infilling tokens.
    """
    ids = tokenizer.encode(prompt)
    if suffix is not None:
        before, between, after = map(tokenizer.special_id, (_PREFIX, _MIDDLE, _SUFFIX))
        ids = [before, *ids, after, *tokenizer.encode(suffix), between]
    return [*begin_ids, *ids] or [tokenizer.eos_id]
