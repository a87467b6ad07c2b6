"""Sampling parameters: as a user sets them, and as arrays with a row each."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from codex_jax import InputError, ranges

MAX_BIASED_TOKENS = 300  # tokens in a logit_bias, as in OpenAI's API

_RANGES = {
    "temperature": ranges.real(0, 100),
    "top_k": ranges.integer(0, 1 << 20),
    "min_p": ranges.real(0, 1),
    "top_p": ranges.real(0, 1),
    "presence_penalty": ranges.real(-2, 2),
    "frequency_penalty": ranges.real(-2, 2),
}
_TOKEN, _BIAS = ranges.integer(0), ranges.real(-ranges.FLOAT32_MAX)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """Settings of a draw: penalties and bias on the logits, then temperature and filters.

    Args:
      temperature: Divides the logits; 0 takes the likeliest token.
      top_k: Keep the k likeliest tokens (ties stay); 0 keeps all.
      min_p: Keep tokens at least this fraction as likely as the likeliest.
      top_p: Keep the fewest likeliest tokens that together weigh this much.
      presence_penalty: Subtracted from the logit of each token that the sample already contains.
      frequency_penalty: Subtracted once for each occurrence of the token in the sample.
      logit_bias: Added to the logits of these token ids.
    """

    temperature: float = 0.8
    top_k: int = 0
    min_p: float = 0.0
    top_p: float = 0.95
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] | None = None

    def __post_init__(self):
        ranges.check("SamplingParams", self, _RANGES)
        if self.top_p == 0:
            raise InputError(
                "SamplingParams.top_p is 0; expected above 0 (temperature 0 is greedy)"
            )
        if self.logit_bias is not None:
            _check_bias(self.logit_bias)

    @property
    def has_adjustments(self) -> bool:
        """Whether penalties or biases change the logits."""
        return bool(self.presence_penalty or self.frequency_penalty or self.logit_bias)


def _check_bias(logit_bias: Mapping[int, float]) -> None:
    is_mapping = isinstance(logit_bias, Mapping)
    if not is_mapping or not all(n in _TOKEN and x in _BIAS for n, x in logit_bias.items()):
        raise InputError(
            f"SamplingParams.logit_bias is {logit_bias!r:.60}; set it to token ids, each with a "
            "finite number"
        )
    if len(logit_bias) > MAX_BIASED_TOKENS:
        raise InputError(
            f"SamplingParams.logit_bias has {len(logit_bias)} tokens; expected at most "
            f"{MAX_BIASED_TOKENS}"
        )


class SamplingArrays(NamedTuple):
    """Temperature and filters of each row; other values compile nothing anew."""

    temperature: Float[Array, "B"]
    top_k: Int[Array, "B"]
    min_p: Float[Array, "B"]
    top_p: Float[Array, "B"]


class LogitAdjustments(NamedTuple):
    """Penalties and biases of each row."""

    presence: Float[Array, "B"]
    frequency: Float[Array, "B"]
    token: Int[Array, "B M"]  # the vocabulary's size where no token is biased
    bias: Float[Array, "B M"]


def empty_adjustments(slots: int, vocab_size: int) -> LogitAdjustments:
    """Adjustments that change nothing, as NumPy arrays that the host writes into."""
    presence, frequency = np.zeros((2, slots), np.float32)
    tokens = np.full((slots, MAX_BIASED_TOKENS), vocab_size, np.int32)
    bias = np.zeros(tokens.shape, np.float32)
    return LogitAdjustments._make((presence, frequency, tokens, bias))
