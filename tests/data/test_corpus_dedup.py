"""InMemoryDedup found on disk are those found in memory, however few are sorted at once."""

import numpy as np
import pytest

from codex_jax.data.dedup import corpus_dedup
from codex_jax.data.dedup.minhash import InMemoryDedup, digest, minhash

from .conftest import random_text


def _labels(texts, folder, *, exact=True, near=0.8) -> list[str]:
    dedup = corpus_dedup.CorpusDedup(folder, exact=exact, near=near)
    for start in range(0, len(texts), 7):
        block = texts[start : start + 7]
        digests = [int.from_bytes(digest(text)[:8]) for text in block]
        sketches = [minhash(text).digest() if near else [] for text in block]
        dedup.add(np.array(digests, np.uint64), np.array(sketches, np.uint32))
    return [corpus_dedup.DUPLICATE_LABELS[label] for label in dedup.labels()]


@pytest.fixture
def texts() -> list[str]:
    """Thirty that are unlike; some come again, some with a word or two changed."""
    plain = [random_text(3 * seed) for seed in range(30)]
    again = [plain[3], plain[3] + "\n\n", plain[20]]
    alike = [random_text(3 * seed, changed=0.005) for seed in (1, 8, 29)]
    return [*plain[:25], *again, *alike[:2], *plain[25:], alike[2]]


@pytest.mark.parametrize(("sorted_at_once", "compared_at_once"), [(1 << 25, 1 << 15), (5, 1)])
def test_the_same_as_in_memory(texts, tmp_path, monkeypatch, sorted_at_once, compared_at_once):
    monkeypatch.setattr(corpus_dedup, "_KEYS_IN_MEMORY", sorted_at_once)
    monkeypatch.setattr(corpus_dedup, "_PAIRS_IN_MEMORY", compared_at_once)
    in_memory = InMemoryDedup(near=0.8)
    expected = [in_memory.find(text) for text in texts]
    assert _labels(texts, tmp_path / "a") == expected
    assert expected.count("exact duplicate") == expected.count("near duplicate") == 3


def test_either_label_alone(texts, tmp_path):
    exact = _labels(texts, tmp_path / "a", near=None)
    assert exact.count("exact duplicate") == 3
    assert "near duplicate" not in exact
    near = _labels(texts, tmp_path / "b", exact=False)
    assert near.count("near duplicate") == 6
    assert "exact duplicate" not in near


def test_nothing_is_no_duplicate(tmp_path):
    assert _labels([], tmp_path / "a") == []
