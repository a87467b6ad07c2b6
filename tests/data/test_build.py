"""The rows holds the corpus, token for token; building is repeatable, and done once."""

import collections
import json
import shutil
import subprocess
import sys
import time

import pytest

from codex_jax import InputError
from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import SourceTree
from codex_jax.data.packing.row_store import read_info
from codex_jax.data.stats import describe

from .conftest import read_rows, write_tree


def _texts(folder, tokenizer) -> collections.Counter:
    """The documents of a rows whose rows are long enough to hold each whole."""
    rows = read_rows(folder)
    texts: collections.Counter[str] = collections.Counter()
    for targets, segments in zip(rows["targets"], rows["segment_ids"], strict=True):
        for segment in range(1, segments.max() + 1):
            *text, end = targets[segments == segment]
            assert end == tokenizer.eos_id
            texts[tokenizer.decode(text)] += 1
    return texts


def test_every_document_comes_back(tree, tokenizer_file, tokenizer, tmp_path):
    corpus = {"once": (tree, 1), "thrice": SourceTree(path=str(tree / "package0"), weight=3)}
    info = build(
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
    assert info.sources["thrice"]["documents"] == 3 * info.sources["thrice"]["files"] == 60
    assert sum(source["tokens"] for source in info.sources.values()) == info.tokens


def test_token_counts_add_up_when_documents_are_split(rows, tokenizer):
    info = read_info(rows)
    arrays = read_rows(rows)
    real = arrays["segment_ids"] > 0
    assert info.tokens == real.sum() == info.sources["tree"]["tokens"]
    assert (arrays["targets"][real] == tokenizer.eos_id).sum() == 61
    assert (arrays["targets"][real] == 0).sum() > 0
    assert info.fill_rate > 0.9
    assert (info.tokenizer_hash, info.vocab_size) == (tokenizer.hash, tokenizer.vocab_size)
    assert "61" in describe(info)
    assert "full" in describe(info)


def test_a_copy_of_the_corpus_has_the_same_fingerprint(tree, rows, tokenizer_file, tmp_path):
    shutil.copytree(tree, tmp_path / "copy")
    info = build(
        corpus={"tree": tmp_path / "copy"},
        tokenizer=tokenizer_file,
        output=tmp_path / "c",
        sequence_length=64,
    )
    assert info.fingerprint == read_info(rows).fingerprint


@pytest.mark.parametrize(
    "change", [{"sequence_length": 32}, {"seed": 5}, {"indent_split_rate": 0.0}]
)
def test_a_second_build_returns_at_once_unless_something_changed(
    tree, rows, tokenizer_file, tmp_path, capsys, change
):
    shutil.copytree(rows, tmp_path / "c")
    settings = {"corpus": {"tree": tree}, "tokenizer": tokenizer_file, "output": tmp_path / "c"}
    before = time.monotonic()
    same = build(**settings, sequence_length=64)
    assert time.monotonic() - before < 1
    assert "up to date" in capsys.readouterr().out
    other = build(**settings, **{"sequence_length": 64, **change})
    assert other.fingerprint != same.fingerprint
    assert read_info(tmp_path / "c") == other


def test_a_binary_file_among_sources_is_counted_not_an_error(tokenizer_file, tmp_path):
    root = write_tree(tmp_path / "root", {"a.py": "a = 1\n", "b.py": b"\x7fELF\x00"})
    info = build(
        corpus={"tree": root}, tokenizer=tokenizer_file, output=tmp_path / "c", sequence_length=16
    )
    assert info.sources["tree"]["dropped"] == {"binary": 1}
    assert (tmp_path / "c" / "dropped.tsv").read_text() == "tree\t'b.py'\tbinary\n"
    header, python, everything, _ = describe(info).splitlines()
    assert header.split() == ["tree", "seen", "binary", "kept", "MB", "texts", "tokens"]
    assert python.split()[:4] == ["Python", "2", "1", "1"]
    assert everything.split()[:4] == ["all", "2", "1", "1"]


def test_a_killed_build_leaves_nothing_that_looks_finished(tree, tokenizer_file, tmp_path):
    program = (
        "import codex_jax.data.packing.row_store as row_store, os, signal\n"
        "row_store.write_info = None\n"
        "row_store.RowWriter.finish = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from codex_jax.data.build import build\n"
        f"build(corpus={{'tree': {str(tree)!r}}}, tokenizer={str(tokenizer_file)!r}, "
        f"output={str(tmp_path / 'c')!r}, sequence_length=64)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["partial-c"]
    with pytest.raises(InputError, match="no packed rows here"):
        read_info(tmp_path / "c")
    build(
        corpus={"tree": tree}, tokenizer=tokenizer_file, output=tmp_path / "c", sequence_length=64
    )
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


MODULE = """
from codex_jax.data.documents import Span
from codex_jax.data.examples.render import Example
from codex_jax.data.seqio_tasks.tasks import add_task
from codex_jax.tokenizer import Tokenizer

poems = [Example(str(n), "verse", (Span(f"roses are {n}"),)) for n in range(5)]
add_task("poems", lambda: iter(poems), Tokenizer.load(%r))
"""


def test_a_task_of_the_users_own_module_is_packed(tokenizer_file, tokenizer, tmp_path, monkeypatch):
    (tmp_path / "my_poems.py").write_text(MODULE % str(tokenizer_file))
    monkeypatch.syspath_prepend(tmp_path)
    settings = {
        "tokenizer": tokenizer_file,
        "output": tmp_path / "c",
        "sequence_length": 8192,
        "modules": "my_poems",
    }
    info = build(**settings, mixture="poems")
    texts = _texts(tmp_path / "c", tokenizer)
    assert set(texts) == {f"roses are {n}" for n in range(5)}
    assert info.sources["poems"]["documents"] == 5
    assert "verse" in info.sources["poems"]["languages"]
    with pytest.raises(InputError, match=r"'poem' is no registered Task or Mixture \(near: poems"):
        build(**settings, mixture="poem")
    with pytest.raises(InputError, match="is it on PYTHONPATH"):
        build(**{**settings, "modules": "no_such_module"}, mixture="poems")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(InputError, match="module 'leaves': SystemExit: 0"):
        build(**{**settings, "modules": "leaves"}, mixture="poems")
    with pytest.raises(InputError, match="neither corpus nor mixture is set"):
        build(tokenizer=tokenizer_file, output=tmp_path / "d", sequence_length=64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sequence_length": 1}, "sequence_length is 1"),
        ({"indent_split_rate": 1.5}, "indent_split_rate is 1.5"),
        ({"tokenizer": "absent.json"}, "no such tokenizer"),
        ({"corpus": {"gone": "absent"}}, "absent isn't a directory"),
        ({"corpus": {"bad": "binaries"}}, "no usable file in bad: 1 binary"),
        ({"corpus": {"none": "empty"}}, "nothing is in a selected language"),
        (
            {"corpus": {"a": ("empty", 1e999)}},
            "weight is inf; expected more than 0 and at most 1000",
        ),
        ({"corpus": {"a": ("empty", 1e12)}}, "weight is 1000000000000.0; expected more than 0"),
        (
            {"corpus": {"a": SourceTree(path="empty", weight=9, language_weights={"Python": 200})}},
            "language_weights of Python is 200; expected ≥ 0, and, times weight, at most 1000",
        ),
        ({"workers": -1}, r"data\.build\.workers is -1; set it to a whole number, 0 or more"),
        ({"workers": 1.5}, r"data\.build\.workers is 1\.5"),
        ({"cleaning": Cleaning(decontaminate_against=("absent.jsonl",))}, "absent.jsonl: no such"),
        ({"cleaning": Cleaning(decontaminate_against=("empty/a.txt",))}, "a.txt: no problems"),
        ({"cleaning": Cleaning(decontaminate_against=("binaries/a.py",))}, "a.py:1: not JSON"),
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
    if "cleaning" in settings or "workers" in settings:  # seen before anything is begun
        assert not list(tmp_path.glob("partial*"))


def test_the_page_is_json_that_names_what_it_came_from(rows):
    parameters = json.loads((rows / "meta.json").read_text())["parameters"]
    assert parameters["sequence_length"] == 64
    assert parameters["cleaning"]["filters"]["longest_line"] == 1000
