"""Archives are read in memory; hostile ones cost a line in the report, never the build."""

import gzip
import io
import lzma
import os
import struct
import tarfile
import time
import zipfile

import pytest

from codex_jax.data.readers import archives

from .conftest import read_tree, write_tree

CODE = "def add(a, b):\n    return a + b\n"


def write_tar(path, members, mode="w:gz", **info_fields):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in info_fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.tar", "w"), ("a.tgz", "w:gz"), ("a.tar.bz2", "w:bz2"), ("a.tar.xz", "w:xz")],
)
def test_tar_members_are_files(tmp_path, name, mode):
    write_tar(
        tmp_path / name, {"p/a.py": CODE.encode(), "p/b.rs": b"fn f() {}", "p/c.png": b"x"}, mode
    )
    good, reasons = read_tree(tmp_path)
    assert {path: file.language for path, file in good.items()} == {
        f"{name}/p/a.py": "Python",
        f"{name}/p/b.rs": "Rust",
    }
    assert good[f"{name}/p/a.py"].content == CODE.encode()
    assert not reasons


def test_zip_members_are_files_and_excludes_hold_inside(tmp_path):
    write_zip(tmp_path / "a.zip", {"a.py": CODE, "test/b.py": CODE, "big.py": "x = 1\n" * 99})
    good, reasons = read_tree(tmp_path, exclude=("test/*",), max_bytes=300)
    assert list(good) == ["a.zip/a.py"]
    assert reasons == {"too large": 1}


def test_a_path_that_escapes_is_refused_and_nothing_is_written(tmp_path):
    (tmp_path / "in").mkdir()
    write_tar(tmp_path / "in" / "a.tar.gz", {"../out.py": CODE.encode(), "/abs.py": CODE.encode()})
    write_zip(tmp_path / "in" / "b.zip", {"x/../../out.py": CODE, "ok.py": CODE})
    good, reasons = read_tree(tmp_path / "in")
    assert list(good) == ["b.zip/ok.py"]
    assert reasons == {"escaping path": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_links_and_devices_in_a_tar_are_passed_over(tmp_path):
    write_tar(tmp_path / "a.tar", {"a.py": b""}, "w", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    write_tar(tmp_path / "b.tar", {"b.py": b""}, "w", type=tarfile.CHRTYPE)
    write_tar(tmp_path / "c.tar", {"c.py": b""}, "w", type=tarfile.LNKTYPE, linkname="a.py")
    write_tar(tmp_path / "d.tar", {"d.py": b"", "d.png": b""}, "w", type=tarfile.FIFOTYPE)
    assert read_tree(tmp_path) == ({}, {"link": 2, "no regular file": 2})


def _replace(path, old, new, start=0):
    content = path.read_bytes()
    at = content.index(old, start)
    path.write_bytes(content[:at] + new + content[at + len(old) :])


def test_a_broken_member_of_a_zip_costs_itself_alone(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:  # stored
        for name in "abcd":
            archive.writestr(f"{name}.py", f"{name} = 'content'\n")
        link = zipfile.ZipInfo("link.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    _replace(tmp_path / "a.zip", b"a = 'content'", b"a = 'CONTENT'")  # another sum
    content = bytearray((tmp_path / "a.zip").read_bytes())
    directory = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", directory + 1)
    content[second + 8] |= 1  # encrypted
    third = content.index(b"PK\x01\x02", second + 1)
    content[third + 10] = 99  # an unknown method
    (tmp_path / "a.zip").write_bytes(content)
    good, reasons = read_tree(tmp_path)
    assert list(good) == ["a.zip/d.py"]
    assert reasons == {"broken member": 2, "encrypted": 1, "link": 1}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_behind_a_broken_header_of_a_tar_the_next_member_is_read(tmp_path, mode):
    write_tar(tmp_path / "plain", {f"{n}.py": CODE.encode() for n in range(4)}, "w")
    content = bytearray((tmp_path / "plain").read_bytes())
    content[1024 + 148 : 1024 + 156] = b"garbage!"  # the second's sum
    opener = {"w": open, "w:gz": gzip.open, "w:xz": lzma.open}[mode]
    with opener(tmp_path / "a.tar", "wb") as out:
        out.write(bytes(content))
    good, reasons = read_tree(tmp_path)
    assert [path[-4:] for path in good] == ["0.py", "2.py", "3.py"]
    assert reasons == {"broken member": 1}


def test_a_gzip_with_a_wrong_sum_or_cut_is_told(tmp_path):
    write_tar(tmp_path / "a.tar.gz", {"a.py": CODE.encode()})
    content = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "b.tar.gz").write_bytes(content[:-8] + b"\0\0\0\0" + content[-4:])
    (tmp_path / "c.tar.gz").write_bytes(content[:-20])
    write_tar(tmp_path / "d.tar", {"a.py": CODE.encode()}, "w")
    (tmp_path / "d.tar").write_bytes((tmp_path / "d.tar").read_bytes()[:1024])
    good, reasons = read_tree(tmp_path)
    assert {"a.tar.gz/a.py", "b.tar.gz/a.py", "d.tar/a.py"} <= set(good)
    assert reasons == {"broken archive": 3}


def test_a_zip_bomb_stops_at_its_budget(tmp_path):
    write_zip(tmp_path / "bomb.zip", {f"{n}.py": "\n" * 900_000 for n in range(150)})
    write_tree(tmp_path, {"z.py": CODE})
    good, reasons = read_tree(tmp_path)
    assert reasons["archive bomb"] == 1
    assert "z.py" in good


def test_a_zip_with_too_long_a_list_is_notread_tree(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST_DIRECTORY", 400)
    write_zip(tmp_path / "a.zip", {f"{n}.py": CODE for n in range(20)})
    write_zip(tmp_path / "b.zip", {"b.py": CODE})
    good, reasons = read_tree(tmp_path)
    assert list(good) == ["b.zip/b.py"]
    assert reasons == {"archive bomb": 1}


def test_a_tar_bomb_isnt_even_decompressed(tmp_path):
    info = tarfile.TarInfo("a.py")
    info.size = 1 << 40
    with gzip.open(tmp_path / "bomb.tar.gz", "wb") as out:
        out.write(info.tobuf() + b"\0" * 10_000_000)
    before = time.monotonic()
    assert read_tree(tmp_path) == ({}, {"archive bomb": 1})
    assert time.monotonic() - before < 1


def test_a_header_that_asks_for_memory_is_a_broken_archive(tmp_path):
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 35
    with gzip.open(tmp_path / "greedy.tar.gz", "wb") as out:
        out.write(info.tobuf() + b"\0" * 1_000_000)
    assert read_tree(tmp_path) == ({}, {"broken archive": 1})


def test_a_zip_whose_header_lies_about_a_size(tmp_path):
    write_zip(tmp_path / "a.zip", {"a.py": "x = 1\n" * 100_000})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", 10)
    (tmp_path / "a.zip").write_bytes(content)
    good, reasons = read_tree(tmp_path)
    assert sum(len(file.content) for file in good.values()) < 1000
    assert len(good) + reasons.total() == 1


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip", "a.tar", "a.tar.xz"])
def test_garbage_is_a_broken_archive(tmp_path, name):
    (tmp_path / name).write_bytes(os.urandom(4096))
    assert read_tree(tmp_path) == ({}, {"broken archive": 1})


def test_a_truncated_archive_gives_what_it_has(tmp_path):
    write_tar(tmp_path / "a.tar", {f"{n}.py": os.urandom(50_000) for n in range(9)}, "w")
    content = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(content[: len(content) // 2])
    good, reasons = read_tree(tmp_path)
    assert len(good) == 4
    assert reasons == {"broken archive": 1}
