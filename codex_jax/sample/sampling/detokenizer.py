"""From tokens to text: before its stop, and never half a character."""

import codecs
from collections.abc import Callable, Iterable, Sequence

from codex_jax.sample.sampling.stop_strings import cut
from codex_jax.tokenizer import SPECIALS, Tokenizer

_, _PREFIX, _MIDDLE, _SUFFIX = SPECIALS


class Stream:
    """Text of a sample as its tokens come. What has been told is never taken back.

    Bytes are held back while they could begin a stop string, or a character that isn't whole. What
    isn't UTF-8 at all becomes U+FFFD; half a character at the very end is left out.
    """

    def __init__(
        self, token_bytes: Callable[[int], bytes], *, eos_id: int, stops: Sequence[str] = ()
    ):
        self._token_bytes, self._eos_id, self._stops = token_bytes, eos_id, tuple(stops)
        self._encoded = [stop.encode() for stop in stops]
        self._held = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.stopped = False  # by a stop string or end of text
        self.told = 0  # bytes so far

    def feed(self, tokens: Iterable[int]) -> str:
        """What can be told now; nothing once stopped."""
        for token in map(int, tokens):
            if self.stopped:
                break
            if token == self._eos_id:
                self.stopped = True
                break
            self._held, found = cut(self._held + self._token_bytes(token), self._stops)
            self.stopped = found
        keep = 0 if self.stopped else self._possible_stop()
        now, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        self.told += len(now)
        return self._decoder.decode(now)

    def end(self) -> str:
        """The rest, where a sample ends by its length."""
        rest, self._held = self._held, b""
        self.told += len(rest)
        return self._decoder.decode(rest)

    def _possible_stop(self) -> int:
        """How many of the last bytes could be the beginning of a stop."""
        longest = max(map(len, self._encoded), default=1) - 1
        for size in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-size:]) for stop in self._encoded):
                return size
        return 0


def whole_text(
    tokens: Iterable[int],
    token_bytes: Callable[[int], bytes],
    *,
    eos_id: int,
    stops: Sequence[str] = (),
) -> str:
    """The text of a finished sample."""
    stream = Stream(token_bytes, eos_id=eos_id, stops=stops)
    return stream.feed(tokens) + stream.end()


def prompt_tokens(text: Tokenizer, prompt: str, suffix: str | None, *, begin: bool) -> list[int]:
    """A prompt's tokens; with a suffix, those that ask for what stands between (PSM).

    Args:
      begin: whether it begins with end of text, as documents do; an empty prompt is that alone.

    Raises:
      InputError: a suffix, and a tokenizer without the tokens that ask.
    """
    ids = text.encode(prompt)
    if suffix is not None:
        before, between, after = map(text.special_id, (_PREFIX, _MIDDLE, _SUFFIX))
        ids = [before, *ids, after, *text.encode(suffix), between]
    return [text.eos_id, *ids] if begin or not ids else ids
