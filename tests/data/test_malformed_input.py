"""A tree of everything that a stranger may leave in it: a line each, and the build goes on."""

import io
import os
import subprocess
import sys
import tarfile
import zipfile

from codex_jax.data.packing.row_store import read_info

from .conftest import module_text, write_tree

GIGABYTES = 2_000_000_000


def _sparse(path, start: bytes) -> None:
    """A file of 2 GB in one line, of which the disk holds little."""
    with path.open("wb") as out:
        out.write(start)
        out.truncate(GIGABYTES)


def _hostile(root) -> None:
    write_tree(
        root,
        {
            "good.py": module_text(4),
            "latin.py": b"x = '\xe9'\n",
            "notebook.ipynb": "not json",
            "broken.zip": b"PK\x03\x04 and then nothing",
            "broken/Posts.xml": "<posts><row",
        },
    )
    for name, start in (
        ("long.py", b"x = 1"),
        ("long.jsonl", b'{"content": "'),
        ("long/Posts.xml", b'<posts>\n<row Id="1" Body="'),
        ("long.ipynb", b'{"cells": "'),
    ):
        (root / name).parent.mkdir(exist_ok=True)
        _sparse(root / name, start)
    with zipfile.ZipFile(root / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(150):
            archive.writestr(f"{n}.py", "\n" * 900_000)
    with tarfile.open(root / "escape.tar", "w") as archive:
        for name in ("../../out.py", "inner.zip", "\udcff.py"):
            info = tarfile.TarInfo(name)
            info.size = 6
            archive.addfile(info, io.BytesIO(b"a = 1\n"))
    os.mkfifo(root / "pipe.py")
    (root / "loop").symlink_to(root, target_is_directory=True)
    (root / "self.py").symlink_to("self.py")
    (root / os.fsdecode(b"\xff\xfe.py")).write_text("odd = 'name'\n")
    (root / "empty").mkdir()


PROGRAM = """
import sys
from codex_jax.data.build import build
from codex_jax.data.corpus import CONTAINERS, SourceTree
root, tokenizer, output = sys.argv[1:]
tree = SourceTree(path=root, languages=("*",), open=CONTAINERS, weight=1.5)
build(corpus={"tree": tree}, tokenizer=tokenizer, output=output, sequence_length=64)
status = open("/proc/self/status").read()  # ru_maxrss begins with that of who forked
print(status.split("VmHWM:")[1].split()[0])
"""


def test_each_costs_a_line_and_the_build_goes_on_in_small_memory(tokenizer_file, tmp_path):
    _hostile(tmp_path / "root")
    command = [sys.executable, "-c", PROGRAM, tmp_path / "root", tokenizer_file, tmp_path / "c"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 1_000_000  # kB
    counts = read_info(tmp_path / "c").sources["tree"]
    assert counts["dropped"] == {
        "too large": 4,
        "broken XML": 1,
        "not UTF-8": 1,
        "not a notebook": 1,
        "broken archive": 1,
        "archive bomb": 1,
        "escaping path": 1,
        "archive in an archive": 1,
        "no regular file": 1,
        "link": 2,
        "empty": counts["dropped"]["empty"],  # the bomb's members before it is known as one
    }
    assert counts["files"] == 3  # good.py, and two with odd names
    listed = (tmp_path / "c" / "dropped.tsv").read_text().splitlines()
    assert len(listed) == sum(counts["dropped"].values())
    assert not (tmp_path / "out.py").exists()
