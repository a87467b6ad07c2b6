"""Containers are opened; hostile ones cost a line in the report, never the build."""

import gzip
import json

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
    assert reasons == {"not a record": 4}


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
