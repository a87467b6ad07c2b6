"""Duplicates found on disk are those found in memory, however few are sorted at once."""

import numpy as np
import pytest

from codex_jax.data.dedup import corpus_dedup
from codex_jax.data.dedup.minhash import Duplicates, digest, sketch

from .test_cleaner import _text


def _kinds(texts, folder, *, exact=True, near=0.8) -> list[str]:
    sieve = corpus_dedup.Sieve(folder, exact=exact, near=near)
    for start in range(0, len(texts), 7):
        block = texts[start : start + 7]
        digests = [int.from_bytes(digest(text)[:8]) for text in block]
        sketches = [sketch(text).digest() if near else [] for text in block]
        sieve.add(np.array(digests, np.uint64), np.array(sketches, np.uint32))
    return [corpus_dedup.KINDS[kind] for kind in sieve.kinds()]


@pytest.fixture
def texts() -> list[str]:
    """Thirty that are unlike; some come again, some with a word or two changed."""
    plain = [_text(3 * seed) for seed in range(30)]
    again = [plain[3], plain[3] + "\n\n", plain[20]]
    alike = [_text(3 * seed, changed=0.005) for seed in (1, 8, 29)]
    return [*plain[:25], *again, *alike[:2], *plain[25:], alike[2]]


@pytest.mark.parametrize(("sorted_at_once", "compared_at_once"), [(1 << 25, 1 << 15), (5, 1)])
def test_the_same_as_in_memory(texts, tmp_path, monkeypatch, sorted_at_once, compared_at_once):
    monkeypatch.setattr(corpus_dedup, "_SORTED_AT_ONCE", sorted_at_once)
    monkeypatch.setattr(corpus_dedup, "_COMPARED_AT_ONCE", compared_at_once)
    in_memory = Duplicates(near=0.8)
    expected = [in_memory.find(text) for text in texts]
    assert _kinds(texts, tmp_path / "a") == expected
    assert expected.count("exact duplicate") == expected.count("near duplicate") == 3


def test_either_kind_alone(texts, tmp_path):
    exact = _kinds(texts, tmp_path / "a", near=None)
    assert exact.count("exact duplicate") == 3 and "near duplicate" not in exact
    near = _kinds(texts, tmp_path / "b", exact=False)
    assert near.count("near duplicate") == 6 and "exact duplicate" not in near


def test_nothing_is_no_duplicate(tmp_path):
    assert _kinds([], tmp_path / "a") == []
