"""What is asked of the engine, and what it answers."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from codex_jax.sample.sampling.params import Policy


class Request(NamedTuple):
    """Some samples of one prompt.

    Args:
      name: Tells requests that are under way from each other.
      tokens: The prompt, at least one token.
      samples: Indices of the samples; a sample depends on its index, not on how many there are.
      new: Most tokens of a sample; as many as the engine has room for, unless given.
      stops: Strings that end a sample; the tokens that say one are part of it.
      top: Also tell the likeliest tokens at each place.
      echo: Also score the prompt.
      stream: Tell a sample piece by piece, rather than once it is finished.
    """

    name: str
    tokens: Sequence[int]
    samples: Sequence[int] = (0,)
    policy: Policy = Policy()
    seed: int = 0
    new: int | None = None
    stops: Sequence[str] = ()
    top: bool = False
    echo: bool = False
    stream: bool = False


class Top(NamedTuple):
    """The likeliest tokens at each place, the likeliest first, with their log-probabilities."""

    tokens: np.ndarray  # int32 (T, 5)
    logprobs: np.ndarray  # float32 (T, 5)


class Sample(NamedTuple):
    """A sample, or the next piece of one: `reason` is "" while it goes on.

    Log-probabilities are raw (of the model's logits, no policy), in nats.
    """

    name: str
    index: int
    tokens: np.ndarray  # int32 (T,), the ending one included
    logprobs: np.ndarray  # float32 (T,)
    reason: str  # "stop" (a stop string or end of text) or "length"
    top: Top | None = None


class Scored(NamedTuple):
    """Log-probabilities of a prompt's tokens but the first: of token t + 1 at place t."""

    name: str
    logprobs: np.ndarray  # float32 (T - 1,)
    top: Top


def prompt_hash(tokens: Sequence[int]) -> np.uint32:
    """Half of what a sample's key is made of."""
    digest = hashlib.sha256(np.asarray(tokens, np.int32).tobytes()).digest()
    return np.uint32(int.from_bytes(digest[:4], "little"))
