"""Splitting newline+indent tokens changes ids, never bytes."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from codex_jax.data.examples.indent_split import split_indent_tokens


@hypothesis.given(
    lines=st.lists(st.sampled_from(["if x:", "    y", "\t\tz", "", "  ", "!"])),
    rate=st.floats(0, 1),
)
def test_bytes_stay_the_same(tokenizer, lines, rate):
    text = "\n".join(lines)
    ids = np.array(tokenizer.encode(text), np.int32)
    weights = np.arange(len(ids), dtype=np.float32)
    rng = np.random.default_rng(0)
    loose, loose_weights = split_indent_tokens(
        ids, weights, tokenizer.indent_split_table(), rate, rng
    )
    assert tokenizer.decode(loose) == text
    assert len(loose) == len(loose_weights) >= len(ids)
    expected = [tokenizer.token_bytes(token) for token in ids]
    pieces = [b"".join(_bytes_at(tokenizer, loose, loose_weights, n)) for n in range(len(ids))]
    assert pieces == expected


def _bytes_at(tokenizer, ids, weights, index):
    return [tokenizer.token_bytes(token) for token in ids[weights == index]]


def test_the_rate_is_the_share_split(tokenizer):
    ids = np.array(tokenizer.encode("\n    x" * 4000), np.int32)
    halves = tokenizer.indent_split_table()
    weights = np.ones(len(ids), np.float32)
    sizes = [
        len(split_indent_tokens(ids, weights, halves, rate, np.random.default_rng(1))[0])
        for rate in (0, 0.25, 1)
    ]
    assert sizes[0] == 8000
    assert sizes[2] == 12000
    assert abs(sizes[1] - 9000) < 120


def test_a_prompt_that_ends_in_a_newline_was_seen_in_training(tokenizer):
    ids = np.array(tokenizer.encode("x:\n    y"), np.int32)
    weights = np.ones(len(ids), np.float32)
    loose, _ = split_indent_tokens(
        ids, weights, tokenizer.indent_split_table(), 1.0, np.random.default_rng(0)
    )
    prompt = tokenizer.encode("x:\n")
    assert loose[: len(prompt)].tolist() == prompt
    assert loose[len(prompt)] == tokenizer.encode("    ")[0]
