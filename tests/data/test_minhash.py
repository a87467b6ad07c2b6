"""Exact and near duplicates, found in memory."""

from codex_jax.data.dedup.minhash import InMemoryDedup

from .conftest import random_text


def test_exact_duplicates_but_for_whitespace():
    duplicates = InMemoryDedup()
    assert duplicates.find("a = 1\n") == ""
    assert duplicates.find("a = 1\n\n") == "exact duplicate"
    assert duplicates.find("a = 2\n") == ""


def test_near_duplicates_are_those_over_the_threshold():
    duplicates = InMemoryDedup(near=0.85)
    assert duplicates.find(random_text(1)) == ""
    assert duplicates.find(random_text(1, changed=0.005)) == "near duplicate"
    assert duplicates.find(random_text(1, changed=0.2)) == ""
    assert not any(duplicates.find(random_text(seed)) for seed in range(2, 40))
    assert duplicates.find("x y") == duplicates.find("z w") == ""
