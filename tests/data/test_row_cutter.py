"""Stretches for infilling fit rows and are the document."""

import numpy as np
import pytest

from codex_jax.data.examples.encode import encode_spans
from codex_jax.data.examples.row_cutter import RowCutter, token_byte_counts

TEXTS = {
    "lines": "def f(x):\n    return x\n\n" * 40,
    "no line end": "x = " + "1234567890" * 60,
    "wide characters": "日本語のテキスト🙂" * 40,
    "indents": "\n        " * 90,
}


@pytest.mark.parametrize("length", [8, 32, 64])
@pytest.mark.parametrize("name", TEXTS)
def test_stretches_are_the_document_and_fit(name, length, tokenizer):
    text = TEXTS[name]
    cutter = RowCutter(tokenizer, length)
    assert "".join(cutter.cut(text)) == text
    splits = tokenizer.indent_split_table()[:, 0] >= 0
    for spans in cutter.infill(text, np.random.default_rng(0)):
        ids, _ = encode_spans(spans, tokenizer)
        assert len(ids) + splits[ids].sum() + 1 <= length


def test_a_short_text_stays_whole(tokenizer):
    assert RowCutter(tokenizer, 64).cut("a = 1\n") == ["a = 1\n"]


def test_bytes_of_tokens(tokenizer):
    counts = token_byte_counts(tokenizer)
    text = TEXTS["wide characters"]
    assert counts[tokenizer.encode(text)].sum() == len(text.encode())
    assert counts[tokenizer.eos_id] == 0
