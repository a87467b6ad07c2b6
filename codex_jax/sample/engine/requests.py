"""Requests to the engine, and its outputs."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from codex_jax import InputError
from codex_jax.sample.sampling.params import SamplingParams


class Request(NamedTuple):
    """Some samples of one prompt.

    Args:
      id: Distinguishes requests that are in progress.
      tokens: The prompt, at least one token.
      samples: Indices of the samples; a sample depends on its index, not on how many there are.
      sampling_params: Temperature, filters, penalties and biases.
      seed: Any integer; its last 64 bits count.
      max_new_tokens: Most tokens of a sample; None is the engine's limit.
      stops: Strings that end a sample; the stop string's tokens are part of the sample.
      want_top_logprobs: Also return the likeliest tokens at each position.
      echo: Also return log-probabilities of the prompt.
      healed: Last tokens of the prompt, at most all but one, that are taken off; a sample spells
        their bytes again (see token_healing) with tokens that aren't returned.
      stream: Return a sample piece by piece, rather than once it is finished.
    """

    id: str
    tokens: Sequence[int]
    samples: Sequence[int] = (0,)
    sampling_params: SamplingParams = SamplingParams()
    seed: int = 0
    max_new_tokens: int | None = None
    stops: Sequence[str] = ()
    want_top_logprobs: bool = False
    echo: bool = False
    stream: bool = False
    healed: int = 0

    @property
    def context(self) -> Sequence[int]:
        """The prompt's tokens that stay, after which samples begin."""
        return self.tokens[: len(self.tokens) - self.healed]

    def tail(self, token_bytes: Sequence[bytes]) -> bytes:
        """The bytes of the prompt's tokens that are taken off."""
        return b"".join(token_bytes[token] for token in self.tokens[len(self.context) :])


class TopLogprobs(NamedTuple):
    """The likeliest tokens at each position, the likeliest first, with their log-probabilities."""

    tokens: np.ndarray  # int32 (T, 5)
    logprobs: np.ndarray  # float32 (T, 5)


class Sample(NamedTuple):
    """A sample, or the next piece of one: `finish_reason` is "" while it continues.

    Log-probabilities are raw (of the model's logits, before temperature and filters), in nats. In a
    healed sample they are conditional on the prompt's tail, whose own count with the first token.
    """

    request_id: str
    sample_index: int
    tokens: np.ndarray  # int32 (T,), the ending one included
    logprobs: np.ndarray  # float32 (T,)
    finish_reason: str  # "stop" (a stop string or end of text) or "length"
    top: TopLogprobs | None = None
    tail_bytes: int = 0  # first bytes of the first token that the prompt has already


class PromptLogprobs(NamedTuple):
    """Log-probabilities of a prompt's tokens but the first: index t is of token t + 1."""

    request_id: str
    logprobs: np.ndarray  # float32 (T - 1,)
    top: TopLogprobs


def hash_prompt(tokens: Sequence[int] | np.ndarray) -> np.uint32:
    """A hash of the prompt, one of the numbers that a sample's keys are made of."""
    digest = hashlib.sha256(np.asarray(tokens, np.int32).tobytes()).digest()
    return np.uint32(int.from_bytes(digest[:4], "little"))


def fold_seed(seed: int, tail: bytes = b"") -> int:
    """A seed of 64 bits in the 32 that the device's keys have; those below 2³² stay as they are.

    With a tail, the result depends on it too.
    """
    seed %= 1 << 64
    if seed < 1 << 32 and not tail:
        return seed
    digest = hashlib.sha256(seed.to_bytes(8, "little") + tail).digest()
    return int.from_bytes(digest[:4], "little")


def check_tokens(tokens: Iterable[int], vocab_size: int, *, where: str) -> None:
    """Checks that the model knows every token.

    Raises:
      InputError: a token below 0 or not below vocab_size; the message begins with `where`.
    """
    if unknown := [token for token in tokens if not 0 <= token < vocab_size]:
        raise InputError(f"{where}: token {unknown[0]!r:.40}; expected 0 to {vocab_size - 1}")
