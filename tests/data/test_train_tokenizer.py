"""Learning writes one file, once."""

import pytest

from codex_jax import InputError
from codex_jax.data.train_tokenizer import learn_tokenizer
from codex_jax.tokenizer import Tokenizer

from .conftest import write_tree


def test_a_second_run_returns_at_once_and_a_changed_corpus_learns_anew(tmp_path, capsys):
    root = write_tree(tmp_path / "root", {"a.py": "alpha = beta\n" * 9})
    output = tmp_path / "tokenizer.json"

    def learn():
        learn_tokenizer(corpus={"tree": root}, output=output, vocab_size=360)
        return Tokenizer.load(output).hash, capsys.readouterr().out

    first, _ = learn()
    assert learn() == (first, f"tokenizer: {output} is up to date\n")
    (root / "b.py").write_text("gamma(delta)\n" * 9)
    third, _ = learn()
    assert third != first
    output.write_text("something else")
    with pytest.raises(InputError, match="this command didn't write it"):
        learn()
    assert output.read_text() == "something else"
    output.unlink()
    assert learn()[0] == third


def test_whitespace_tokens_make_indented_code_short(tokenizer, tree):
    text = (tree / "long.py").read_text()
    indents = text.count("\n    ")
    without = text.replace("\n    ", "\n").replace("\n    ", "\n")
    assert len(tokenizer.encode(text)) <= len(tokenizer.encode(without)) + indents


def test_a_corpus_without_usable_files_is_refused(tmp_path):
    root = write_tree(tmp_path / "root", {"a.py": b"\x00", "b.txt": "text"})
    with pytest.raises(InputError, match="1 binary"):
        learn_tokenizer(corpus={"tree": root}, output=tmp_path / "t.json", vocab_size=400)
    assert not (tmp_path / "t.json").exists()
