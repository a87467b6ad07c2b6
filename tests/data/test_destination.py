"""Nothing of a person's own is removed, whatever folder or file a command is sent to."""

import pytest

from codex_jax import InputError
from codex_jax.data.build import build
from codex_jax.data.cache_command import cache_on_beam
from codex_jax.data.corpus import SourceTree
from codex_jax.data.destination import BuildFolders
from codex_jax.data.train_tokenizer import learn_tokenizer
from tests.data.conftest import read_rows, write_tree


def contents(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def pack(tree, tokenizer_file, output, **settings):
    return build(
        corpus={"t": tree}, tokenizer=tokenizer_file, output=output, sequence_length=64, **settings
    )


def test_rows_with_a_validation_split_are_replaced_but_not_a_stranger_in_it(
    tree, tokenizer_file, tmp_path
):
    output = tmp_path / "rows"
    corpus = {"t": SourceTree(path=str(tree), validation_share=0.5)}

    def pack_split(seed):
        row = {"sequence_length": 64, "workers": 0, "seed": seed, "indent_split_rate": 0.9}
        return build(corpus=corpus, tokenizer=tokenizer_file, output=output, **row)

    assert pack_split(0).fingerprint != pack_split(1).fingerprint
    (output / "validation" / "mine").write_text("mine")
    with pytest.raises(InputError, match="holds 'mine'"):
        pack_split(2)
    assert (output / "validation" / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("files", "output"),
    [
        ({"src/a.py": "x = 1\n"}, "src"),
        ({"src/meta.json": "{}"}, "src"),
        ({"src/meta.json": '{"format": "another 1"}', "src/tokens/0": "1"}, "src"),
        ({"src/tokens/mine": "1"}, "src"),
        ({"partial-out/notes": "x"}, "out"),
        ({"partial-out/state": "California", "partial-out/shards/a": "x"}, "out"),
        ({"partial-out/shards/a": "x"}, "out"),
        ({"out": "a file"}, "out"),
    ],
)
def test_a_folder_of_something_else_is_refused(tree, tokenizer_file, tmp_path, files, output):
    before = contents(write_tree(tmp_path, files))
    with pytest.raises(InputError, match="set output to a new"):
        pack(tree, tokenizer_file, tmp_path / output)
    assert contents(tmp_path) == before


def test_the_corpus_itself_is_refused(tree, tokenizer_file):
    before = contents(tree)
    with pytest.raises(InputError, match="this command didn't write"):
        pack(tree, tokenizer_file, tree)
    assert contents(tree) == before


def test_rows_are_replaced_unless_someone_put_a_file_there(tree, tokenizer_file, tmp_path):
    output = tmp_path / "rows"
    output.mkdir()
    first = pack(tree, tokenizer_file, output, workers=0)
    link = tmp_path / "link"
    link.symlink_to(output)
    second = pack(tree, tokenizer_file, link, workers=0, seed=1, indent_split_rate=0.9)
    assert link.is_symlink()
    assert first.fingerprint != second.fingerprint
    assert len(read_rows(output)["tokens"]) == second.rows
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "rows"]
    (output / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds 'notes\.txt'"):
        pack(tree, tokenizer_file, output, workers=0)
    assert (output / "notes.txt").read_text() == "mine"


def test_the_mark_is_the_last_to_go(tmp_path):
    folders = BuildFolders(tmp_path / "out")
    folders.prepare("1")
    (folders.shards / "a").write_text("x")
    folders.prepare("1")
    assert (folders.shards / "a").exists()
    folders.prepare("2")
    assert not (folders.shards / "a").exists()
    folders.remove_partial()
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="expected a folder"):
        BuildFolders("/")


@pytest.mark.parametrize("name", ["tok.json", "tok.learnt.json"])
@pytest.mark.parametrize("content", ["print(1)\n", '{"hash": 1}', "[]"])
def test_a_tokenizer_replaces_only_a_tokenizer(tree, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="exists, and this command didn't write it"):
        learn_tokenizer(corpus={"t": tree}, output=tmp_path / "tok.json", vocab_size=300)
    assert (tmp_path / name).read_text() == content


def test_a_beam_cache_refuses_a_folder_of_something_else(tree, tokenizer_file, tmp_path):
    write_tree(tmp_path, {"a.tfrecord": "mine"})
    with pytest.raises(InputError, match=r"holds 'a\.tfrecord'"):
        cache_on_beam(corpus={"t": tree}, tokenizer=tokenizer_file, output=str(tmp_path))
