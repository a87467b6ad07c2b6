"""Containers are opened; hostile ones cost a line in the report, never the build."""

import gzip
import json
import os

from codex_jax.data.corpus import CONTAINERS, SourceTree, list_files
from codex_jax.data.readers.files import read_files

from .conftest import read_tree, write_tree
from .test_archives import write_zip

CODE = "def add(a, b):\n    return a + b\n"


def test_containers_are_left_alone_unless_asked_for(tmp_path):
    write_zip(tmp_path / "a.zip", {"a.py": CODE})
    write_tree(tmp_path, {"b.py": CODE, "n.ipynb": "{}", "r.jsonl": "{}", "Posts.xml": "<posts/>"})
    assert list(read_tree(tmp_path, open=())[0]) == ["b.py"]


def test_json_lines_in_the_stacks_fields(tmp_path):
    lines = [
        {"content": CODE, "lang": "Python", "max_stars_repo_path": "a.py"},
        {"content": "class A {}", "language": "C-Sharp", "licenses": ["MIT", "Apache-2.0"]},
        {"content": "x", "lang": "COBOL"},
        {"content": 3},
        "broken",
    ]
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    write_tree(tmp_path, {"a.jsonl": text, "b.jsonl.gz": gzip.compress(text.encode())})
    good, reasons = read_tree(tmp_path)
    assert [file.language for file in good.values()] == ["Python", "C#"] * 2
    assert good["a.jsonl:2/"].license == "MIT OR Apache-2.0"
    assert reasons == {"not a record": 4, "unknown language": 2}


def test_one_huge_line_is_passed_over_in_small_memory(tmp_path):
    good_line = json.dumps({"content": CODE, "lang": "Python"}).encode()
    with (tmp_path / "a.jsonl").open("wb") as out:
        out.write(b'{"content": "')
        out.seek(2_000_000_000)  # a hole: no disk is used
        out.write(b'"}\n' + good_line + b"\n")
    with (tmp_path / "b.py").open("wb") as out:
        out.truncate(2_000_000_000)
    good, reasons = read_tree(tmp_path)
    assert list(good) == ["a.jsonl:2/"]
    assert reasons == {"too large": 2}


def _row(content='"x = 1"', **fields):
    rest = "".join(f', "{name}": {json.dumps(value)}' for name, value in fields.items())
    return f'{{"content": {content}{rest}}}'


def test_rows_that_cost_themselves(tmp_path):
    lines = [
        _row(lang="Python"),
        _row(r'"x = \\ud800"'.replace("\\\\", "\\"), lang="Python"),
        _row(lang="Brainfuck", path="a.bf"),
        _row(path="a" * 9000 + "/x.py"),
        _row(path="../../\ud800\x1b[2J.py"),
        _row('"[" ', lang="Jupyter Notebook", path="a.ipynb"),
        _row('"y = 2"', lang="py3"),
    ]
    write_tree(tmp_path, {"a.jsonl": "\n".join(lines)})
    good, reasons = read_tree(tmp_path)
    assert [file.language for file in good.values()] == ["Python"] * 4
    assert reasons == {"not UTF-8": 1, "unknown language": 1, "not a notebook": 1}


def test_the_trees_languages_hold_in_every_container(tmp_path):
    cells = [{"cell_type": "code", "source": "x = 1", "metadata": {}, "outputs": []}]
    page = json.dumps({"nbformat": 4, "cells": cells, "metadata": {}})
    post = '<row Id="{}" PostTypeId="{}" AcceptedAnswerId="2" Tags="|python|" Body="{}" />\n'
    question, answer = post.format(1, 1, "?"), post.format(2, 2, "&lt;pre&gt;x&lt;/pre&gt;")
    files = {"a.ipynb": page, "a.jsonl": _row(lang="Python") + "\n" + _row('"int x;"', lang="C")}
    write_tree(tmp_path, files | {"Posts.xml": f"<posts>\n{question}{answer}</posts>\n"})
    assert list(read_tree(tmp_path, languages=("C",))[0]) == ["a.jsonl:2/"]
    assert len(read_tree(tmp_path, languages=["Python"])[0]) == 3


def test_compressed_rows_that_are_cut_or_have_a_wrong_sum(tmp_path):
    content = gzip.compress("\n".join([_row(lang="Python")] * 3).encode())
    write_tree(tmp_path, {"a.jsonl.gz": content[:-8] + bytes(8), "b.jsonl.gz": content[:-12]})
    good, reasons = read_tree(tmp_path)
    assert len(good) >= 3
    assert reasons == {"unreadable": 2}


def test_a_file_that_changes_after_it_was_listed(tmp_path):
    names = ("gone.py", "grown.py", "shorter.py", "pipe.py", "grown.jsonl", "gone.zip")
    write_tree(tmp_path, dict.fromkeys(names, _row(lang="Python") + "\n"))
    tree = SourceTree(path=str(tmp_path), open=CONTAINERS)
    entries = list(list_files(tree))
    for name in ("gone.py", "pipe.py", "gone.zip"):
        (tmp_path / name).unlink()
    os.mkfifo(tmp_path / "pipe.py")  # opened, it would wait for a writer
    (tmp_path / "shorter.py").write_text("x")
    for name in ("grown.py", "grown.jsonl"):
        with (tmp_path / name).open("a") as out:
            out.write("\n" * 5_000_000)
    reasons = {file.path: file.reason for file in read_files(tree, entries) if file.reason}
    changed, unreadable = "changed while read", "unreadable"
    assert reasons == {
        "gone.py": unreadable,
        "gone.zip": unreadable,
        "grown.jsonl": changed,
        "grown.py": changed,
        "pipe.py": unreadable,
        "shorter.py": changed,
    }


def test_a_folder_that_is_left_out_is_counted_once_in_an_archive_too(tmp_path):
    names = ("node_modules/x/i.js", "node_modules/y/i.js", "src/.git/h.py", "__pycache__/c.py")
    write_zip(tmp_path / "a.zip", {**dict.fromkeys(names, CODE), "build/a.py": CODE})
    good, reasons = read_tree(tmp_path)
    assert list(good) == ["a.zip/build/a.py"]
    assert reasons == {"skipped folder": 2}
    assert len(read_tree(tmp_path, skip_folders=())[0]) == 5
