"""From tokens to choices, as OpenAI's completions tell them."""

import codecs
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from codex_jax.sample.engine.requests import Sample, Scored, Top
from codex_jax.sample.sampling.detokenizer import Stream

_LOWEST = -9999.0  # JSON knows no infinity


def spelling(said: bytes) -> str:
    """A token as a string; one that isn't whole characters by its bytes, as the old API did."""
    try:
        return said.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in said)


@dataclasses.dataclass
class Logprobs:
    """Of the tokens of a text: what each says, how likely it was, and where it begins."""

    tokens: list[str] = dataclasses.field(default_factory=list)
    token_logprobs: list[float | None] = dataclasses.field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = dataclasses.field(default_factory=list)
    text_offset: list[int] = dataclasses.field(default_factory=list)

    def take(self, count: int) -> dict[str, Any]:
        """The first `count` tokens, that are no longer held."""
        lists = dict(vars(self))
        for name, values in lists.items():
            setattr(self, name, values[count:])
        return {name: values[:count] for name, values in lists.items()}


class Writer:
    """One choice in the making: its text and, where asked, its log-probabilities.

    A token is told once all of its text is; the one that a stop cuts is told at the end.

    Args:
      likely: how many of the likeliest tokens to tell; None tells no log-probabilities.
      start: characters of the prompt, from whose beginning offsets count, echoed or not.
    """

    def __init__(
        self,
        token_bytes: Callable[[int], bytes],
        *,
        eos_id: int,
        stops: Sequence[str],
        likely: int | None,
        start: int = 0,
    ):
        self._token_bytes, self._eos_id, self._likely = token_bytes, eos_id, likely
        self._stream = Stream(token_bytes, eos_id=eos_id, stops=stops)
        self._characters = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._offset = start  # characters before the next token
        self._held = Logprobs()
        self._places: list[tuple[int, int]] = []  # of held tokens in the text, in bytes
        self._end = 0  # bytes of text so far
        self.count = 0  # tokens so far
        self.total = 0.0  # of their log-probabilities

    def prompt(self, tokens: Sequence[int], scored: Scored | None) -> tuple[str, dict | None]:
        """(a prompt's text, its log-probabilities), told before everything else."""
        text = b"".join(map(self._token_bytes, tokens)).decode(errors="replace")
        if scored is None:
            return text, None
        self._offset = 0
        self._hold(tokens[0], None, None)
        for n, token in enumerate(tokens[1:]):
            self._hold(token, scored.logprobs[n], (scored.top, n))
        self._characters.reset()
        self._offset, self._end, self._places = len(text), 0, []
        return text, self._held.take(len(tokens))

    def piece(self, sample: Sample) -> tuple[str, dict | None]:
        """(text, log-probabilities) that can be told now."""
        self.count += len(sample.tokens)
        self.total += float(sample.logprobs.astype(np.float64).sum())
        text = ""
        for n, token in enumerate(sample.tokens.tolist()):
            if token != self._eos_id and not self._stream.stopped:
                self._hold(token, sample.logprobs[n], (sample.top, n))
            text += self._stream.feed([token])
        if sample.reason and not self._stream.stopped:
            text += self._stream.end()
        return text, self._released(bool(sample.reason))

    def _hold(self, token: int, logprob: float | None, likely: tuple[Top | None, int] | None):
        if self._likely is None:
            return
        said = self._token_bytes(token)
        held, spelled = self._held, spelling(said)
        held.text_offset.append(self._offset)
        held.tokens.append(spelled)
        held.token_logprobs.append(None if logprob is None else _finite(logprob))
        held.top_logprobs.append(likely and self._top(*likely) | {spelled: _finite(logprob)})
        self._places.append((self._end, self._end + len(said)))
        self._end += len(said)
        self._offset += len(self._characters.decode(said))

    def _released(self, over: bool) -> dict | None:
        """Held tokens that may be told."""
        if self._likely is None:
            return None
        told = self._stream.told
        count = sum(start < told if over else end <= told for start, end in self._places)
        self._places = self._places[count:]
        return self._held.take(count)

    def _top(self, top: Top | None, n: int) -> dict[str, float]:
        if not self._likely or top is None:
            return {}
        likeliest = zip(top.tokens[n].tolist(), top.logprobs[n].tolist(), strict=True)
        pairs = [(spelling(self._token_bytes(t)), _finite(x)) for t, x in likeliest]
        return dict(reversed(pairs[: self._likely]))  # of two spelled alike, the likelier


def _finite(logprob: float) -> float:
    return max(float(logprob), _LOWEST)


def choice(index: int, text: str, logprobs: dict | None, reason: str | None) -> dict[str, Any]:
    """An element of "choices"."""
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": reason}


def usage(prompts: Iterable[Sequence[int]], completion: int) -> dict[str, int]:
    """A prompt counts once, every candidate's tokens count."""
    prompt = sum(map(len, prompts))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
