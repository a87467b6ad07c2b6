"""Tokenized documents come back from disk as they were written."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from codex_jax.data.shards.shard_files import (
    TokenizedDocument,
    TokenizedText,
    read_block,
    read_keys,
    write_block,
)

texts = st.builds(
    lambda ids, has_weights: TokenizedText(
        "Python",
        np.array(ids, np.uint16),
        np.linspace(0, 1, len(ids), dtype=np.float32) if has_weights else None,
    ),
    st.lists(st.integers(0, 999), max_size=6),
    st.booleans(),
)


def document(number: int, document_texts: list[TokenizedText]) -> TokenizedDocument:
    sketch = np.arange(128, dtype=np.uint32) + number
    return TokenizedDocument(f"ä/{number}.py", "Go", 9 * number, 1 << 63, sketch, document_texts)


@hypothesis.given(groups=st.lists(st.lists(texts, max_size=3), min_size=1, max_size=5))
def test_a_block_comes_back(tmp_path_factory, groups):
    path = tmp_path_factory.mktemp("blocks") / "block.npz"
    documents = [document(number, group) for number, group in enumerate(groups)]
    write_block(path, documents, np.dtype(np.uint16))
    assert [file.name for file in path.parent.iterdir()] == ["block.npz"]
    for written, read in zip(documents, read_block(path), strict=True):
        assert (read.path, read.language, read.size) == (
            written.path,
            written.language,
            written.size,
        )
        assert read.digest == written.digest
        for text, read_text in zip(written.texts, read.texts, strict=True):
            assert read_text.ids.tolist() == text.ids.tolist()
            if text.weights is None:
                assert read_text.weights is None
            else:
                assert (read_text.weights == text.weights).all()
    digests, sketches = read_keys(path)
    assert digests.tolist() == [1 << 63] * len(groups)
    assert sketches.shape == (len(groups), 128)
