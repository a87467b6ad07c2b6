"""Rows to train on: a prompt and its sample each, with the advantage on every sampled token."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from codex_jax.sample.engine.requests import Sample
from codex_jax.train.policy_loss import PolicyBatch


class Row(NamedTuple):
    """A prompt's tokens, its sample, and the advantage that the sample's tokens are weighed by."""

    prompt: Sequence[int]
    sample: Sample
    advantage: float


def make_rows(rows: Sequence[Row], batch_size: int, length: int) -> PolicyBatch:
    """Returns a batch of `batch_size` rows of `length` tokens; rows without a sample are padding.

    Samples that ended by their length are masked: their advantage is 0.
    """
    shape = (batch_size, length)
    tokens, targets, segment_ids = (np.zeros(shape, np.int32) for _ in range(3))
    advantages, is_sampled, logprobs = (np.zeros(shape, np.float32) for _ in range(3))
    positions = np.broadcast_to(np.arange(length, dtype=np.int32), shape)
    for index, row in enumerate(rows):
        text = np.concatenate([np.asarray(row.prompt, np.int32), row.sample.tokens])
        start, stop = len(row.prompt) - 1, len(text) - 1
        tokens[index, :stop], targets[index, :stop] = text[:-1], text[1:]
        segment_ids[index, :stop] = 1
        is_sampled[index, start:stop] = 1
        logprobs[index, start:stop] = row.sample.logprobs
        if not is_too_long(row.sample):
            advantages[index, start:stop] = row.advantage
    return PolicyBatch(tokens, targets, segment_ids, positions, advantages, is_sampled, logprobs)


def is_too_long(sample: Sample) -> bool:
    """Whether a sample was cut at its longest length."""
    return sample.finish_reason == "length"
