"""Beam's outcome is the local build's, whatever the workers do."""

import hashlib

import pytest

from codex_jax import InputError
from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import SourceTree

from .conftest import read_rows

pytest.importorskip("apache_beam")
pytestmark = pytest.mark.slow

MODULE = """
from codex_jax.data.seqio_tasks.beam_pipeline import add_cached_task
from codex_jax.tokenizer import Tokenizer

add_cached_task("from_beam", %r, "tree", Tokenizer.load(%r))
"""


def _cache(tree, tokenizer_file, output):
    from codex_jax.data.cache_command import cache_on_beam

    corpus = {"tree": SourceTree(path=str(tree), weight=1.5, infilling=0.3)}
    cache_on_beam(corpus=corpus, tokenizer=tokenizer_file, output=str(output), files=3)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in output.iterdir()}


def _targets(cache) -> list[int]:
    rows = read_rows(cache)
    return sorted(rows["targets"][rows["segment_ids"] > 0].tolist())


def test_the_same_tokens_as_a_local_build(tree, tokenizer_file, tmp_path, monkeypatch):
    files = _cache(tree, tokenizer_file, tmp_path / "a")
    assert len(files) == 3
    assert files == _cache(tree, tokenizer_file, tmp_path / "b")
    (tmp_path / "beam_module.py").write_text(MODULE % (str(tmp_path / "a"), str(tokenizer_file)))
    monkeypatch.syspath_prepend(tmp_path)
    settings = {"tokenizer": tokenizer_file, "sequence_length": 4096, "indent_split_rate": 0.0}
    local = {"tree": SourceTree(path=str(tree), weight=1.5, infilling=0.3)}
    build(corpus=local, output=tmp_path / "local", **settings)
    build(
        mixture="from_beam",
        modules="beam_module",
        output=tmp_path / "beam",
        **settings,
    )
    assert _targets(tmp_path / "local") == _targets(tmp_path / "beam")


def test_near_duplicates_are_left_to_the_local_build(tree, tokenizer_file, tmp_path):
    from codex_jax.data.cache_command import cache_on_beam

    with pytest.raises(InputError, match="let `data` find those"):
        cache_on_beam(
            corpus={"tree": tree},
            tokenizer=tokenizer_file,
            output=str(tmp_path),
            cleaning=Cleaning(near_duplicates=0.9),
        )
