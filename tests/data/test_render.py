"""Renderings of documents, from tree to ids and loss weights."""

import numpy as np
import pytest

from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import SourceTree
from codex_jax.data.examples.render import render_repeats
from codex_jax.data.examples.row_cutter import RowCutter
from codex_jax.data.packing.row_store import RowReader
from codex_jax.data.stats import FileStats
from codex_jax.tokenizer import SPECIALS

from .conftest import read_rows, write_tree

METHOD = '''def add(a, b):
    """Adds b to a, for any two numbers."""
    return a + b
'''


class Uncut(RowCutter):
    """Rows that hold any document."""

    def __init__(self):
        self._length = 1 << 30


def _examples(root, seed=0, **settings):
    tree = SourceTree(path=str(root), **settings)
    documents = Cleaner(Cleaning()).documents(tree, FileStats())
    return [
        example
        for document in documents
        for example in render_repeats(document, tree, seed, Uncut())
    ]


def test_randomness_belongs_to_the_example_not_its_index(tree):
    by_key = {example.key: example for example in _examples(tree, infilling=0.5)}
    part = _examples(tree, infilling=0.5, exclude=("package0/*",))
    assert part
    assert all(by_key[example.key] == example for example in part)
    assert {example.key: example for example in _examples(tree, 1, infilling=0.5)} != by_key


def test_repeats_are_cut_anew(tree):
    examples = [each for each in _examples(tree, infilling=1.0, weight=3) if "long.py" in each.key]
    assert [each.key for each in examples] == ["long.py#0", "long.py#1", "long.py#2"]
    assert len({each.spans for each in examples}) == 3


def test_the_infilling_rate_is_the_share_of_documents(tree):
    texts = _examples(tree, infilling=0.5, weight=20)
    share = np.mean([len(each.spans) > 1 for each in texts])
    assert abs(share - 0.5) < 0.05


@pytest.mark.parametrize(
    ("rendering", "text_with_weight"), [("prose to code", METHOD), ("code to prose", "Adds b to a")]
)
def test_pairs_reach_the_rows_with_their_weights(
    tokenizer_file, tokenizer, tmp_path, rendering, text_with_weight
):
    root = write_tree(tmp_path / "root", {"a.py": METHOD, "b.py": "x = 1\n"})
    build(
        corpus={"pairs": SourceTree(path=str(root), render_as=rendering)},
        tokenizer=tokenizer_file,
        output=tmp_path / "c",
        sequence_length=128,
    )
    rows = read_rows(tmp_path / "c")
    counted = rows["targets"][rows["loss_weights"] > 0]
    text = tokenizer.decode(counted[counted != tokenizer.eos_id])
    assert text_with_weight in text
    assert ("return a + b" in text) == (rendering == "prose to code")


def test_infilled_rows_hold_special_tokens_and_every_byte(tokenizer_file, tokenizer, tmp_path):
    root = write_tree(tmp_path / "root", {"a.py": METHOD * 3})
    build(
        corpus={"c++ & c": SourceTree(path=str(root), infilling=1.0)},
        tokenizer=tokenizer_file,
        output=tmp_path / "c",
        sequence_length=512,
    )
    rows = RowReader(tmp_path / "c").read(np.arange(1))
    targets = rows["targets"][rows["segment_ids"] > 0].tolist()
    special = [tokenizer.special_id(name) for name in SPECIALS]
    assert [targets.count(token) for token in special] == [1, 1, 1, 1]
    text = tokenizer.decode(token for token in targets if token not in special)
    assert sorted(text) == sorted(METHOD * 3)
