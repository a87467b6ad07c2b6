"""The page shows every token of the batch, segment by segment."""

import json
import re

import pytest

from codex_jax import InputError
from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import SourceTree
from codex_jax.data.explain import explain
from codex_jax.data.inspect import inspect
from codex_jax.data.packing.batches import BatchReader
from codex_jax.tokenizer import Tokenizer

from .conftest import write_tree


def test_the_page_holds_the_batch(rows, tokenizer_file, tokenizer, capsys):
    page = inspect(rows=rows, tokenizer=tokenizer_file, step=2, batch_size=3, seed=5)
    assert capsys.readouterr().out == page + "\n"
    batch = BatchReader(rows, batch_size=3, seed=5).batch(2)
    for row in range(3):
        for segment in range(1, batch.segment_ids[row].max() + 1):
            here = batch.segment_ids[row] == segment
            assert f"[{segment}: {here.sum()} tokens" in page
            assert tokenizer.decode(batch.targets[row][here]) in page
    assert "« " not in page
    assert "61" in page


def test_colours_take_nothing_away(rows, tokenizer_file):
    plain = inspect(rows=rows, tokenizer=tokenizer_file, color=False)
    painted = inspect(rows=rows, tokenizer=tokenizer_file, color=True)
    assert painted != plain
    assert re.sub(r"\033\[[\d;]*m", "", painted) == plain


def test_what_weighs_nothing_is_marked(tokenizer_file, tmp_path):
    code = 'def f(a):\n    """Gives back what it was given."""\n    return a\n'
    root = write_tree(tmp_path / "root", {"a.py": code})
    build(
        corpus={"pairs": SourceTree(path=str(root), render_as="code to prose")},
        tokenizer=tokenizer_file,
        output=tmp_path / "c",
        sequence_length=64,
    )
    page = inspect(rows=tmp_path / "c", tokenizer=tokenizer_file, batch_size=1)
    assert "«def f(a):\n    return a\n»" in page


def test_another_tokenizer_is_refused(rows, tmp_path):
    other = tmp_path / "other.json"
    Tokenizer.train(["other"], vocab_size=360).save(other)
    with pytest.raises(InputError, match="the rows were made with"):
        inspect(rows=rows, tokenizer=other)


def test_no_escape_code_of_a_file_reaches_the_terminal(tokenizer_file, tmp_path, capsys):
    source = "# \x1b[2J \x1b]0;title\x07 \x9b1m\nx = '\u202e'\n" + "y = 1\n" * 9
    license = json.dumps({"content": source, "lang": "Python", "licenses": ["\x1b[31mMIT"]})
    files = {"\x1b[1m.py": source + "z = 2\n", "a.jsonl": license}
    root = write_tree(tmp_path / "root", files)
    settings = {"tokenizer": tokenizer_file, "output": tmp_path / "c", "sequence_length": 64}
    tree = SourceTree(path=str(root), open=("jsonl",))
    settings |= {"corpus": {"tree": tree}, "cleaning": Cleaning(licenses=("*",))}
    build(**settings)
    build(**settings, explain=str(root / "\x1b[1m.py"))
    explain(file=root / "a.jsonl")
    inspect(rows=tmp_path / "c", tokenizer=tokenizer_file, color=False)
    output = "".join(capsys.readouterr())
    assert "\\x1b[2J" in output
    assert "31mMIT" in output
    assert not set(output) & {"\x1b", "\x07", "\x9b", "\u202e"}
