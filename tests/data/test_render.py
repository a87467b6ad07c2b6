"""Kinds of training text, from tree to ids and loss weights."""

import numpy as np
import pytest

from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning, Tally
from codex_jax.data.corpus import Tree
from codex_jax.data.examples.render import examples
from codex_jax.data.packing.row_store import Rows, read_meta
from codex_jax.tokenizer import SPECIALS

from .conftest import write_tree

METHOD = '''def add(a, b):
    """Adds b to a, for any two numbers."""
    return a + b
'''


def _examples(root, seed=0, **settings):
    tree = Tree(path=str(root), **settings)
    return list(examples(tree, Cleaner(Cleaning()), Tally(), seed, "test"))


def test_randomness_belongs_to_the_example_not_its_place(tree, tmp_path):
    whole = {found.key: found for found in _examples(tree, infilling=0.5)}
    part = _examples(tree, infilling=0.5, exclude=("package0/*",))
    assert part and all(whole[found.key] == found for found in part)
    assert {found.key: found for found in _examples(tree, 1, infilling=0.5)} != whole


def test_repeats_are_cut_anew(tree):
    found = [each for each in _examples(tree, infilling=1.0, weight=3) if "long.py" in each.key]
    assert [each.key for each in found] == ["long.py#0", "long.py#1", "long.py#2"]
    assert len({each.parts for each in found}) == 3


def test_the_infilling_rate_is_the_share_of_documents(tree):
    texts = _examples(tree, infilling=0.5, weight=20)
    share = np.mean([len(each.parts) > 1 for each in texts])
    assert abs(share - 0.5) < 0.05


@pytest.mark.parametrize(
    ("kind", "weighed"), [("prose to code", METHOD), ("code to prose", "Adds b to a")]
)
def test_pairs_reach_the_cache_with_their_weights(
    tokenizer_file, tokenizer, tmp_path, kind, weighed
):
    root = write_tree(tmp_path / "root", {"a.py": METHOD, "b.py": "x = 1\n"})
    build(
        corpus={"pairs": Tree(path=str(root), kind=kind)},
        tokenizer=tokenizer_file,
        output=tmp_path / "c",
        sequence_length=128,
    )
    rows = Rows(tmp_path / "c").read(np.arange(read_meta(tmp_path / "c").rows))
    counted = rows["targets"][rows["loss_weights"] > 0]
    text = tokenizer.decode(counted[counted != tokenizer.eos_id])
    assert weighed in text
    assert ("return a + b" in text) == (kind == "prose to code")


def test_infilled_rows_hold_special_tokens_and_every_byte(tokenizer_file, tokenizer, tmp_path):
    root = write_tree(tmp_path / "root", {"a.py": METHOD * 3})
    build(
        corpus={"c++ & c": Tree(path=str(root), infilling=1.0)},
        tokenizer=tokenizer_file,
        output=tmp_path / "c",
        sequence_length=512,
    )
    rows = Rows(tmp_path / "c").read(np.arange(1))
    targets = rows["targets"][rows["segment_ids"] > 0].tolist()
    special = [tokenizer.special_id(name) for name in SPECIALS]
    assert [targets.count(token) for token in special] == [1, 1, 1, 1]
    text = tokenizer.decode(token for token in targets if token not in special)
    assert sorted(text) == sorted(METHOD * 3)
