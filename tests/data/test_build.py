"""The cache holds the corpus, token for token; building is repeatable, and done once."""

import collections
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import Tree
from codex_jax.data.packing.row_store import Rows, read_meta
from codex_jax.data.stats import describe

from .conftest import write_tree


def _texts(cache, tokenizer) -> collections.Counter:
    """The documents of a cache whose rows are long enough to hold each whole."""
    rows = Rows(cache).read(np.arange(read_meta(cache).rows))
    found = collections.Counter()
    for targets, segments in zip(rows["targets"], rows["segment_ids"], strict=True):
        for segment in range(1, segments.max() + 1):
            *text, end = targets[segments == segment]
            assert end == tokenizer.eos_id
            found[tokenizer.decode(text)] += 1
    return found


def test_every_document_comes_back(tree, tokenizer_file, tokenizer, tmp_path):
    corpus = {"once": (tree, 1), "thrice": Tree(path=str(tree / "package0"), weight=3)}
    meta = build(
        corpus=corpus,
        tokenizer=tokenizer_file,
        output=tmp_path / "c",
        sequence_length=16384,
        cleaning=Cleaning(exact_duplicates=False),
    )
    expected = collections.Counter(path.read_text() for path in tree.rglob("*.py"))
    for path in (tree / "package0").glob("*.py"):
        expected[path.read_text()] += 3
    assert _texts(tmp_path / "c", tokenizer) == expected
    assert meta.sources["thrice"]["documents"] == 3 * meta.sources["thrice"]["files"] == 60
    assert sum(source["tokens"] for source in meta.sources.values()) == meta.tokens


def test_token_counts_add_up_when_documents_are_split(cache, tokenizer):
    meta = read_meta(cache)
    rows = Rows(cache).read(np.arange(meta.rows))
    real = rows["segment_ids"] > 0
    assert meta.tokens == real.sum() == meta.sources["tree"]["tokens"]
    assert (rows["targets"][real] == tokenizer.eos_id).sum() == 61
    assert (rows["targets"][real] == 0).sum() > 0
    assert meta.fill_rate > 0.9
    assert (meta.tokenizer_hash, meta.vocab_size) == (tokenizer.hash, tokenizer.vocab_size)
    assert "61" in describe(meta) and "full" in describe(meta)


def test_a_copy_of_the_corpus_has_the_same_fingerprint(tree, cache, tokenizer_file, tmp_path):
    shutil.copytree(tree, tmp_path / "copy")
    meta = build(
        corpus={"tree": tmp_path / "copy"},
        tokenizer=tokenizer_file,
        output=tmp_path / "c",
        sequence_length=64,
    )
    assert meta.fingerprint == read_meta(cache).fingerprint


@pytest.mark.parametrize("change", [{"sequence_length": 32}, {"seed": 5}, {"boundary_rate": 0.0}])
def test_a_second_build_returns_at_once_unless_something_changed(
    tree, cache, tokenizer_file, tmp_path, capsys, change
):
    shutil.copytree(cache, tmp_path / "c")
    settings = {"corpus": {"tree": tree}, "tokenizer": tokenizer_file, "output": tmp_path / "c"}
    before = time.monotonic()
    same = build(**settings, sequence_length=64)
    assert time.monotonic() - before < 1
    assert "up to date" in capsys.readouterr().out
    other = build(**settings, **{"sequence_length": 64, **change})
    assert other.fingerprint != same.fingerprint
    assert read_meta(tmp_path / "c") == other


def test_a_binary_file_among_sources_is_counted_not_an_error(tokenizer_file, tmp_path):
    root = write_tree(tmp_path / "root", {"a.py": "a = 1\n", "b.py": b"\x7fELF\x00"})
    meta = build(
        corpus={"tree": root}, tokenizer=tokenizer_file, output=tmp_path / "c", sequence_length=16
    )
    assert meta.sources["tree"]["dropped"] == {"binary": 1}
    assert (tmp_path / "c" / "dropped.tsv").read_text() == "tree\t'b.py'\tbinary\n"
    header, python, everything, _ = describe(meta).splitlines()
    assert header.split() == ["tree", "seen", "binary", "kept", "MB", "texts", "tokens"]
    assert python.split()[:4] == ["Python", "2", "1", "1"]
    assert everything.split()[:4] == ["all", "2", "1", "1"]


def test_a_killed_build_leaves_nothing_that_looks_finished(tree, tokenizer_file, tmp_path):
    program = (
        "import codex_jax.data.packing.row_store as cache, os, signal\n"
        "cache.write_meta = None\n"
        "cache.Writer.finish = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from codex_jax.data.build import build\n"
        f"build(corpus={{'tree': {str(tree)!r}}}, tokenizer={str(tokenizer_file)!r}, "
        f"output={str(tmp_path / 'c')!r}, sequence_length=64)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["partial-c"]
    with pytest.raises(InputError, match="no packed cache here"):
        read_meta(tmp_path / "c")
    build(
        corpus={"tree": tree}, tokenizer=tokenizer_file, output=tmp_path / "c", sequence_length=64
    )
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


MODULE = """
from codex_jax.data.examples.pairs import Part
from codex_jax.data.examples.render import Example
from codex_jax.data.seqio_tasks.tasks import add_task
from codex_jax.tokenizer import Tokenizer

poems = [Example(str(n), "verse", (Part(f"roses are {n}"),)) for n in range(5)]
add_task("poems", lambda: iter(poems), Tokenizer.load(%r))
"""


def test_a_task_of_the_users_own_module_is_packed_too(
    tree, tokenizer_file, tokenizer, tmp_path, monkeypatch
):
    (tmp_path / "my_poems.py").write_text(MODULE % str(tokenizer_file))
    monkeypatch.syspath_prepend(tmp_path)
    settings = {
        "corpus": {"tree": Tree(path=str(tree), exclude=("package*",))},
        "tokenizer": tokenizer_file,
        "output": tmp_path / "c",
        "sequence_length": 8192,
        "task_modules": ("my_poems",),
    }
    meta = build(**settings, seqio_tasks=("poems",))
    texts = _texts(tmp_path / "c", tokenizer)
    assert {f"roses are {n}" for n in range(5)} < set(texts)
    assert meta.sources["poems"]["documents"] == 5
    assert "verse" in meta.sources["poems"]["languages"]
    with pytest.raises(InputError, match=r"'poem' isn't registered \(near: poems"):
        build(**settings, seqio_tasks=("poem",))
    with pytest.raises(InputError, match="is it on PYTHONPATH"):
        build(**{**settings, "task_modules": ("no_such_module",)}, seqio_tasks=("poems",))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sequence_length": 1}, "sequence_length is 1"),
        ({"boundary_rate": 1.5}, "boundary_rate is 1.5"),
        ({"tokenizer": "absent.json"}, "no such tokenizer"),
        ({"corpus": {"gone": "absent"}}, "absent isn't a directory"),
        ({"corpus": {"bad": "binaries"}}, "no usable file in bad: 1 binary"),
        ({"corpus": {"none": "empty"}}, "nothing is in a wanted language"),
    ],
)
def test_bad_input_is_one_line(tree, tokenizer_file, tmp_path, monkeypatch, settings, message):
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path, {"binaries/a.py": b"\x00", "empty/a.txt": ""})
    good = {"corpus": {"tree": tree}, "tokenizer": tokenizer_file, "sequence_length": 64}
    with pytest.raises(InputError, match=message) as error:
        build(**{**good, **settings}, output=tmp_path / "c")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "c").exists()


def test_the_page_is_json_that_names_what_it_came_from(cache):
    parameters = json.loads((cache / "meta.json").read_text())["parameters"]
    assert parameters["sequence_length"] == 64
    assert parameters["cleaning"]["filters"]["longest_line"] == 1000
