"""A tree's selection of files, their order, and the reasons of those left out."""

import os
import subprocess

import pytest

from codex_jax import InputError
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import SourceTree, list_files, read_corpus, repeat_count, scan
from codex_jax.data.stats import FileStats

from .conftest import write_tree

FILES = {
    "b.py": "b = 1\n",
    "a/z.py": "z = 1\n",
    "a/b/c.py": "c = 'é'\n",
    "a.py": "a = 1\n",
    "a/readme.md": "prose",
    "binary.py": b"\x00\x01\x02",
    "latin.py": "x = 'é'".encode("latin-1"),
    "blank.py": "  \n",
    "big.py": "x = 1\n" * 100,
    "test/t.py": "t = 1\n",
}


@pytest.fixture
def root(tmp_path):
    return write_tree(tmp_path / "root", FILES)


def _read(tree):
    stats = FileStats()
    cleaner = Cleaner(Cleaning(exact_duplicates=False))
    return [document.path for document in cleaner.documents(tree, stats)], stats.reasons()


def test_order_is_fixed_and_each_dropped_file_has_a_reason(root):
    paths, dropped = _read(SourceTree(path=str(root), max_bytes=200))
    assert paths == ["a.py", "b.py", "a/z.py", "a/b/c.py", "test/t.py"]
    assert dropped == {"binary": 1, "not UTF-8": 1, "empty": 1, "too large": 1}


def test_languages_and_excludes_are_parameters(root):
    (root / "a" / "x.rs").write_text("fn main() {}\n")
    (root / "run").write_text("#!/usr/bin/env bash\necho 1\n")
    assert _read(SourceTree(path=str(root), languages=("Rust",)))[0] == ["a/x.rs"]
    assert _read(SourceTree(path=str(root), languages=("Shell",)))[0] == ["run"]
    assert {"run", "a/x.rs", "b.py"} < set(_read(SourceTree(path=str(root), languages=("*",)))[0])
    paths, _ = _read(SourceTree(path=str(root), exclude=("test/*", "a/*")))
    assert paths == ["a.py", "b.py", "big.py"]


def test_links_out_of_the_tree_are_not_followed(root, tmp_path):
    outside = write_tree(tmp_path / "outside", {"secret.py": "s = 1\n"})
    (root / "link.py").symlink_to(outside / "secret.py")
    (root / "linked").symlink_to(outside, target_is_directory=True)
    assert "secret" not in str(_read(SourceTree(path=str(root)))[0])
    assert "link.py" not in _read(SourceTree(path=str(root)))[0]


def test_weights_repeat_documents():
    counts = [repeat_count(f"{n}.py", 2.25) for n in range(4000)]
    assert set(counts) == {2, 3}
    assert abs(sum(counts) / 4000 - 2.25) < 0.03
    assert repeat_count("x.py", 1.0) == 1


def test_corpus_entries_may_be_paths_pairs_or_trees(root):
    trees = read_corpus(
        {"a": str(root), "b": (root, 3), "c": SourceTree(path=str(root), weight=0.5)}
    )
    assert [tree.weight for tree in trees.values()] == [1.0, 3.0, 0.5]


def test_state_changes_with_files_and_settings(root):
    def state(**settings):
        return scan({"tree": SourceTree(path=str(root), **settings)}).state

    before = state()
    assert before == state()
    assert before != state(weight=2.0)
    os.utime(root / "a.py", (1, 1))
    assert before != state()


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ({}, "expected a mapping"),
        ({"gone": "/no/such/folder"}, "'gone': /no/such/folder isn't a directory"),
        ({"tree": 7}, "expected a path or"),
        ({"tree": (".", 0)}, "weight is 0.0; expected more than 0"),
        (
            {"tree": SourceTree(path=".", languages=("Pyhton",))},
            "language 'Pyhton'; expected one of",
        ),
        ({"tree": SourceTree(path=".", open=("rar",))}, "container 'rar'"),
        ({"tree": SourceTree(path=".", render_as="poems")}, "render_as 'poems'"),
        (
            {"tree": SourceTree(path=".", language_weights={"Go": -1})},
            "language_weights of Go is -1; expected ≥ 0",
        ),
        (
            {"tree": SourceTree(path=".", language_weights={"Gogo": 1})},
            "language 'Gogo'; expected one of",
        ),
        ({"tree": SourceTree(path=".", infilling=2)}, "infilling is 2"),
        ("folder", "expected a mapping"),
    ],
)
def test_a_bad_corpus_is_one_line(corpus, message):
    with pytest.raises(InputError, match=message) as error:
        read_corpus(corpus)
    assert "\n" not in str(error.value)


def _names(root, **settings):
    entries = list(list_files(SourceTree(path=str(root), **settings)))
    return [entry.path for entry in entries if not entry.reason], {
        entry.path: entry.reason for entry in entries if entry.reason
    }


def test_folders_without_sources_of_the_trees_own_are_left_out(tmp_path):
    skipped = ["p/.git/a.py", "node_modules/b/b.py", ".venv/c.py", "p/build/d.py", "my/e.py"]
    taken = ["lib/build/f.py", "venv/g.py", "p/src/h.py", "dist/i.py"]
    marks = ["p/setup.py", "my/pyvenv.cfg", "__pycache__/x.py"]
    write_tree(tmp_path, dict.fromkeys([*skipped, *taken, *marks], "x = 1\n"))
    paths, reasons = _names(tmp_path)
    assert sorted(paths) == sorted([*taken, "p/setup.py"])
    folders = {".venv", "node_modules", "p/.git", "p/build", "my"}
    assert reasons == dict.fromkeys(folders, "skipped folder")
    assert len(_names(tmp_path, skip_folders=())[0]) == len([*skipped, *taken]) + 2
    assert "p/build/d.py" in _names(tmp_path, skip_folders=[".git"])[0]


def test_of_a_files_names_the_first_is_taken(tmp_path):
    write_tree(tmp_path, {"b.py": "x = 1\n", "z/d.py": "y = 1\n"})
    os.link(tmp_path / "b.py", tmp_path / "a.py")
    os.link(tmp_path / "b.py", tmp_path / "z" / "c.py")
    paths, reasons = _names(tmp_path)
    assert paths == ["a.py", "z/d.py"]
    assert reasons == {"b.py": "hard link", "z/c.py": "hard link"}


def test_folders_deeper_than_any_path_cost_a_line(tmp_path):
    write_tree(tmp_path, {"z.py": "x = 1\n"})
    before = os.open(".", os.O_RDONLY)
    os.chdir(tmp_path)
    try:
        for _ in range(1200):  # deeper than Python's stack, and over 4,096 characters
            os.mkdir("deep")  # noqa: PTH102
            os.chdir("deep")
    finally:
        os.fchdir(before)
        os.close(before)
    paths, reasons = _names(tmp_path)
    assert paths == ["z.py"]
    assert list(reasons.values()) == ["unreadable"]
    subprocess.run(["rm", "-rf", tmp_path / "deep"], check=True)


def test_a_list_and_a_tuple_of_languages_are_the_same(root):
    (root / "run").write_text("#!python\nx = 1\n")
    trees = [SourceTree(path=str(root), languages=names) for names in (("Python",), ["Python"])]
    assert [*list_files(trees[0])] == [*list_files(trees[1])]
    assert scan({"a": trees[0]}).state == scan({"a": trees[1]}).state
    assert "run" in _read(trees[0])[0]


@pytest.mark.parametrize("setting", ["languages", "exclude", "skip_folders", "open"])
def test_a_word_is_no_sequence_of_words(root, setting):
    with pytest.raises(InputError, match=rf"{setting} is 'C'; set {setting} to \['C'\]"):
        read_corpus({"a": SourceTree(path=str(root), **{setting: "C"})})
