"""Rows of samples: a known row, masks of long samples, padding."""

import numpy as np

from codex_jax.rl.rows import Row, is_too_long, make_rows
from codex_jax.sample.engine.requests import Sample


def make_sample(tokens, finish_reason="stop"):
    logprobs = -np.arange(1, len(tokens) + 1, dtype=np.float32)
    return Sample("t", 0, np.array(tokens, np.int32), logprobs, finish_reason)


def test_a_known_row():
    rows = make_rows([Row([5, 6, 7], make_sample([8, 9]), 0.5)], 2, 6)
    np.testing.assert_array_equal(rows.tokens[0], [5, 6, 7, 8, 0, 0])
    np.testing.assert_array_equal(rows.targets[0], [6, 7, 8, 9, 0, 0])
    np.testing.assert_array_equal(rows.segment_ids[0], [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(rows.is_sampled[0], [0, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(rows.advantages[0], [0, 0, 0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(rows.logprobs[0], [0, 0, -1, -2, 0, 0])
    for column in (rows.tokens, rows.segment_ids, rows.advantages, rows.is_sampled):
        assert not column[1].any()  # padding


def test_samples_that_were_cut_are_masked_and_still_measured():
    cut = make_sample([8, 9], "length")
    rows = make_rows([Row([5], cut, 0.5), Row([5], make_sample([8, 9]), -0.5)], 2, 4)
    assert is_too_long(cut)
    np.testing.assert_array_equal(rows.advantages, [[0, 0, 0, 0], [-0.5, -0.5, 0, 0]])
    np.testing.assert_array_equal(rows.is_sampled.sum(1), [2, 2])


def test_every_sampled_token_has_its_target_and_probability():
    rng = np.random.default_rng(0)
    samples = [make_sample(rng.integers(1, 50, size)) for size in (1, 4, 7)]
    prompts = [list(rng.integers(1, 50, size)) for size in (1, 3, 5)]
    rows = make_rows([Row(p, s, 1.0) for p, s in zip(prompts, samples, strict=True)], 3, 12)
    for index, sample in enumerate(samples):
        chosen = rows.is_sampled[index] > 0
        np.testing.assert_array_equal(rows.targets[index][chosen], sample.tokens)
        np.testing.assert_array_equal(rows.logprobs[index][chosen], sample.logprobs)
        assert rows.tokens[index][chosen][0] == prompts[index][-1]
