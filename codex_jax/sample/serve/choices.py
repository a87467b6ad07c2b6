"""Builds the "choices" of OpenAI's completions from tokens."""

import codecs
import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from codex_jax.sample.engine.requests import PromptLogprobs, Sample, TopLogprobs
from codex_jax.sample.sampling.detokenizer import Detokenizer

_LOWEST = -9999.0  # JSON has no infinity


def token_string(token: bytes) -> str:
    """A token as a string; one that isn't complete characters by its bytes, as in the old API."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)


@dataclasses.dataclass
class Logprobs:
    """Tokens of a text, each with its log-probability and the offset of its first character."""

    tokens: list[str] = dataclasses.field(default_factory=list)
    token_logprobs: list[float | None] = dataclasses.field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = dataclasses.field(default_factory=list)
    text_offset: list[int] = dataclasses.field(default_factory=list)

    def pop(self, count: int) -> dict[str, Any]:
        """Removes and returns the first `count` tokens."""
        lists = dict(vars(self))
        for name, values in lists.items():
            setattr(self, name, values[count:])
        return {name: values[:count] for name, values in lists.items()}


class ChoiceBuilder:
    """Builds one choice: its text and, if requested, its log-probabilities.

    A token is emitted once all of its text is; the token that a stop string cuts, at the end.

    Args:
      token_bytes: The bytes of a token.
      eos_ids: Tokens that end a text.
      stops: Stop strings.
      top_logprobs: Likeliest tokens at each position; None leaves log-probabilities out.
      start: Characters of the prompt, from whose beginning offsets count, echoed or not.
    """

    def __init__(
        self,
        token_bytes: Callable[[int], bytes],
        *,
        eos_ids: Collection[int],
        stops: Sequence[str],
        top_logprobs: int | None,
        start: int = 0,
    ):
        self._token_bytes, self._eos_ids, self._top_logprobs = token_bytes, eos_ids, top_logprobs
        self._detokenizer = Detokenizer(token_bytes, eos_ids=eos_ids, stops=stops)
        self._characters = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._offset = start  # characters before the next token
        self._pending = Logprobs()
        self._spans: list[tuple[int, int]] = []  # of pending tokens in the text, in bytes
        self._end = 0  # bytes of text so far
        self.count = 0  # tokens so far
        self.total_logprob = 0.0

    def echo(
        self,
        tokens: Sequence[int],
        logprobs: PromptLogprobs | None,
        *,
        begin: int = 0,
        text: str | None = None,
    ) -> tuple[str, dict | None]:
        """(the prompt's text, its log-probabilities), the first piece of the choice.

        The first `begin` tokens, which the server put in front of the prompt, are left out, as is
        the space that some tokenizers put in front of `text`, the prompt where it was a string.
        """
        echoed = tokens[begin:]
        string = b"".join(map(self._token_bytes, echoed))
        text = string.decode(errors="replace") if text is None else text
        if logprobs is None:
            return text, None
        self._offset = 0
        if echoed:
            self._append(echoed[0], None, {}, skip=int(string == b" " + text.encode()))
        for n, token in enumerate(echoed[1:], begin):
            self._append(token, float(logprobs.logprobs[n]), self._top(logprobs.top, n))
        self._characters.reset()
        self._offset, self._end, self._spans = len(text), 0, []
        return text, self._pending.pop(len(echoed))

    def add(self, sample: Sample) -> tuple[str, dict | None]:
        """Adds a piece of the sample; returns the next (text, log-probabilities)."""
        self.count += len(sample.tokens)
        self.total_logprob += float(sample.logprobs.astype(np.float64).sum())
        text = ""
        for n, token in enumerate(sample.tokens.tolist()):
            skip = 0 if n else sample.tail_bytes
            if token not in self._eos_ids and not self._detokenizer.stopped:
                tail = self._token_bytes(token)[:skip]
                top = self._top(sample.top, n, tail)
                self._append(token, float(sample.logprobs[n]), top, skip)
            text += self._detokenizer.feed([token], skip=skip)
        if sample.finish_reason and not self._detokenizer.stopped:
            text += self._detokenizer.flush()
        return text, self._pop_emitted(is_finished=bool(sample.finish_reason))

    def _append(
        self, token: int, logprob: float | None, top: dict[str, float], skip: int = 0
    ) -> None:
        if self._top_logprobs is None:
            return
        token_bytes, pending = self._token_bytes(token)[skip:], self._pending
        name = token_string(token_bytes)
        pending.text_offset.append(self._offset)
        pending.tokens.append(name)
        pending.token_logprobs.append(None if logprob is None else _finite(logprob))
        pending.top_logprobs.append(None if logprob is None else top | {name: _finite(logprob)})
        self._spans.append((self._end, self._end + len(token_bytes)))
        self._end += len(token_bytes)
        self._offset += len(self._characters.decode(token_bytes))

    def _pop_emitted(self, *, is_finished: bool) -> dict | None:
        """Log-probabilities of the tokens whose text is emitted."""
        if self._top_logprobs is None:
            return None
        emitted = self._detokenizer.emitted
        count = sum(
            first < emitted if is_finished else end <= emitted for first, end in self._spans
        )
        self._spans = self._spans[count:]
        return self._pending.pop(count)

    def _top(self, top: TopLogprobs | None, n: int, tail: bytes = b"") -> dict[str, float]:
        """The likeliest tokens; those that go beyond a prompt's tail, without it."""
        if not self._top_logprobs or top is None:
            return {}
        likeliest = zip(top.tokens[n].tolist(), top.logprobs[n].tolist(), strict=True)
        strings = [(self._token_bytes(token), _finite(logprob)) for token, logprob in likeliest]
        pairs = [
            (token_string(string[len(tail) :]), logprob)
            for string, logprob in strings
            if not tail or (string.startswith(tail) and string != tail)
        ]
        return dict(reversed(pairs[: self._top_logprobs]))  # of two equal strings, the likelier


def _finite(logprob: float) -> float:
    return max(float(logprob), _LOWEST)


def make_choice(
    index: int, text: str, logprobs: dict | None, finish_reason: str | None
) -> dict[str, Any]:
    """An element of "choices"."""
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish_reason}


def usage(prompts: Iterable[Sequence[int]], completion_tokens: int) -> dict[str, int]:
    """Token counts: a prompt counts once, every candidate's tokens count."""
    prompt_tokens = sum(map(len, prompts))
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
