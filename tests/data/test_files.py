"""Containers are opened; hostile ones cost a line in the report, never the build."""

import collections
import gzip
import io
import json
import os
import struct
import tarfile
import time
import zipfile

import pytest

from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning, Tally
from codex_jax.data.corpus import CONTAINERS, Tree, list_files
from codex_jax.data.readers import archives
from codex_jax.data.readers.files import read_files

from .conftest import write_tree

CODE = "def add(a, b):\n    return a + b\n"


def _read(root, **settings):
    tree = Tree(path=str(root), **{"languages": ("*",), "containers": CONTAINERS, **settings})
    files = list(read_files(tree, list_files(tree)))
    good = {file.path: file for file in files if not file.reason}
    return good, collections.Counter(file.reason for file in files if file.reason)


def _tar(path, members, mode="w:gz", **info_fields):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in info_fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))


def _zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.tar", "w"), ("a.tgz", "w:gz"), ("a.tar.bz2", "w:bz2"), ("a.tar.xz", "w:xz")],
)
def test_tar_members_are_files(tmp_path, name, mode):
    _tar(tmp_path / name, {"p/a.py": CODE.encode(), "p/b.rs": b"fn f() {}", "p/c.png": b"x"}, mode)
    good, reasons = _read(tmp_path)
    assert {path: file.language for path, file in good.items()} == {
        f"{name}/p/a.py": "Python",
        f"{name}/p/b.rs": "Rust",
    }
    assert good[f"{name}/p/a.py"].content == CODE.encode()
    assert not reasons


def test_zip_members_are_files_and_excludes_hold_inside(tmp_path):
    _zip(tmp_path / "a.zip", {"a.py": CODE, "test/b.py": CODE, "big.py": "x = 1\n" * 99})
    good, reasons = _read(tmp_path, exclude=("test/*",), max_bytes=300)
    assert list(good) == ["a.zip/a.py"]
    assert reasons == {"too large": 1}


def test_containers_are_left_alone_unless_asked_for(tmp_path):
    _zip(tmp_path / "a.zip", {"a.py": CODE})
    write_tree(tmp_path, {"b.py": CODE, "n.ipynb": "{}", "r.jsonl": "{}", "Posts.xml": "<posts/>"})
    assert list(_read(tmp_path, containers=())[0]) == ["b.py"]


def test_a_path_that_escapes_is_refused_and_nothing_is_written(tmp_path):
    (tmp_path / "in").mkdir()
    _tar(tmp_path / "in" / "a.tar.gz", {"../out.py": CODE.encode(), "/abs.py": CODE.encode()})
    _zip(tmp_path / "in" / "b.zip", {"x/../../out.py": CODE, "ok.py": CODE})
    good, reasons = _read(tmp_path / "in")
    assert list(good) == ["b.zip/ok.py"]
    assert reasons == {"escaping path": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_links_and_devices_in_a_tar_are_passed_over(tmp_path):
    _tar(tmp_path / "a.tar", {"a.py": b""}, "w", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    _tar(tmp_path / "b.tar", {"b.py": b""}, "w", type=tarfile.CHRTYPE)
    assert _read(tmp_path) == ({}, {})


def test_a_zip_bomb_stops_at_its_budget(tmp_path):
    _zip(tmp_path / "bomb.zip", {f"{n}.py": "\n" * 900_000 for n in range(150)})
    write_tree(tmp_path, {"z.py": CODE})
    good, reasons = _read(tmp_path)
    assert reasons["archive bomb"] == 1
    assert "z.py" in good


def test_a_zip_with_too_long_a_list_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST_DIRECTORY", 400)
    _zip(tmp_path / "a.zip", {f"{n}.py": CODE for n in range(20)})
    _zip(tmp_path / "b.zip", {"b.py": CODE})
    good, reasons = _read(tmp_path)
    assert list(good) == ["b.zip/b.py"] and reasons == {"archive bomb": 1}


def test_a_tar_bomb_isnt_even_decompressed(tmp_path):
    info = tarfile.TarInfo("a.py")
    info.size = 1 << 40
    with gzip.open(tmp_path / "bomb.tar.gz", "wb") as out:
        out.write(info.tobuf() + b"\0" * 10_000_000)
    before = time.monotonic()
    assert _read(tmp_path) == ({}, {"archive bomb": 1})
    assert time.monotonic() - before < 1


def test_a_header_that_asks_for_memory_is_a_broken_archive(tmp_path):
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 35
    with gzip.open(tmp_path / "greedy.tar.gz", "wb") as out:
        out.write(info.tobuf() + b"\0" * 1_000_000)
    assert _read(tmp_path) == ({}, {"broken archive": 1})


def test_a_zip_whose_header_lies_about_a_size(tmp_path):
    _zip(tmp_path / "a.zip", {"a.py": "x = 1\n" * 100_000})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", 10)
    (tmp_path / "a.zip").write_bytes(content)
    good, reasons = _read(tmp_path)
    assert sum(len(file.content) for file in good.values()) < 1000
    assert len(good) + reasons.total() == 1


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip", "a.tar", "a.tar.xz"])
def test_garbage_is_a_broken_archive(tmp_path, name):
    (tmp_path / name).write_bytes(os.urandom(4096))
    assert _read(tmp_path) == ({}, {"broken archive": 1})


def test_a_truncated_archive_gives_what_it_has(tmp_path):
    _tar(tmp_path / "a.tar", {f"{n}.py": os.urandom(50_000) for n in range(9)}, "w")
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) // 2])
    good, reasons = _read(tmp_path)
    assert len(good) == 4 and reasons == {"broken archive": 1}


def _notebook(cells, language="python"):
    cells = [{"cell_type": kind, "source": source, "metadata": {}} for kind, source in cells]
    for cell in cells:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    kernel = {"name": "k", "display_name": "K", "language": language}
    page = {"nbformat": 4, "nbformat_minor": 4, "cells": cells, "metadata": {"kernelspec": kernel}}
    return json.dumps(page)


def test_markdown_is_matched_to_the_cells_below_it(tmp_path):
    cells = [
        ("code", "import os\n%matplotlib inline"),
        ("markdown", "# Sum"),
        ("markdown", "Add two."),
        ("code", "1 + 1"),
        ("code", "!ls\n2 + 2"),
        ("markdown", "The end."),
    ]
    write_tree(tmp_path, {"a.ipynb": _notebook(cells)})
    (file,) = _read(tmp_path)[0].values()
    found = [(pair.prose, pair.code) for pair in file.pairs]
    assert found == [("", "import os"), ("# Sum\n\nAdd two.", "1 + 1\n\n2 + 2")]
    assert file.language == "Python"


@pytest.mark.parametrize(
    "content",
    ["not json", "[1]", '{"cells": 3}', "[" * 100_000, b"\xff\xfe", _notebook([], "cobol"), "{}"],
)
def test_a_file_that_is_no_notebook(tmp_path, content):
    write_tree(tmp_path, {"a.ipynb": content})
    good, reasons = _read(tmp_path)
    assert not good and reasons.total() == 1


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
    good, reasons = _read(tmp_path)
    assert [file.language for file in good.values()] == ["Python", "C#"] * 2
    assert good["a.jsonl:2/"].licence == "MIT OR Apache-2.0"
    assert reasons == {"not a record": 4}


def test_one_huge_line_is_passed_over_in_small_memory(tmp_path):
    good_line = json.dumps({"content": CODE, "lang": "Python"}).encode()
    with (tmp_path / "a.jsonl").open("wb") as out:
        out.write(b'{"content": "')
        out.seek(2_000_000_000)  # a hole: no disk is used
        out.write(b'"}\n' + good_line + b"\n")
    with (tmp_path / "b.py").open("wb") as out:
        out.truncate(2_000_000_000)
    good, reasons = _read(tmp_path)
    assert list(good) == ["a.jsonl:2/"]
    assert reasons == {"too large": 2}


POSTS = """<?xml version="1.0" encoding="utf-8"?>
<posts>
<row Id="1" PostTypeId="1" AcceptedAnswerId="3" Title="Add?" Tags="&lt;python&gt;&lt;math&gt;"
 Body="&lt;p&gt;How do I add &amp;lt;two&amp;gt; numbers?&lt;/p&gt;" />
<row Id="2" PostTypeId="2" ParentId="1" Body="&lt;pre&gt;wrong&lt;/pre&gt;" />
<row Id="3" PostTypeId="2" ParentId="1"
 Body="So: &lt;pre&gt;&lt;code&gt;a + b &amp;gt; 1&lt;/code&gt;&lt;/pre&gt; done" />
<row Id="4" PostTypeId="1" AcceptedAnswerId="5" Title="Cook?" Tags="&lt;food&gt;" Body="x" />
<row Id="5" PostTypeId="2" Body="&lt;pre&gt;y&lt;/pre&gt;" />
"""


def test_questions_are_matched_to_accepted_answers(tmp_path):
    write_tree(
        tmp_path, {"whole/Posts.xml": POSTS + "</posts>", "broken/Posts.xml": POSTS + "<row"}
    )
    good, reasons = _read(tmp_path)
    assert sorted(good) == ["broken/Posts.xml#3", "whole/Posts.xml#3"]
    (pair,) = good["whole/Posts.xml#3"].pairs
    assert pair.prose == "Add?\n\nHow do I add <two> numbers?"
    assert pair.code == "a + b > 1"
    assert reasons == {"broken XML": 1}


def test_an_entity_bomb_is_broken_xml(tmp_path):
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(12))
    bomb = f'<!DOCTYPE p [<!ENTITY e0 "boom">{entities}]><posts><row Id="&e12;"/></posts>'
    write_tree(tmp_path, {"Posts.xml": bomb})
    assert _read(tmp_path) == ({}, {"broken XML": 1})


def test_pairs_of_a_container_are_text_like_any_other(tmp_path):
    write_tree(tmp_path, {"a.ipynb": _notebook([("markdown", "Add two."), ("code", "1 + 1")])})
    tree = Tree(path=str(tmp_path), containers=("notebooks",))
    (document,) = Cleaner(Cleaning()).documents(tree, Tally())
    assert document.text == "# Add two.\n1 + 1\n"
