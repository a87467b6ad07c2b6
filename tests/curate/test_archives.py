"""Archives are read in memory, within limits, and unpacked within their folder."""

import gzip
import io
import tarfile
import zipfile

import pytest

from codex_jax import InputError
from codex_jax.curate.packages import archives
from tests.curate.conftest import METADATA, write_sdist


def write_wheel(folder, files):
    path = folder / "demo-2.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_wheel_and_an_sdist(tmp_path):
    wheel = write_wheel(
        tmp_path,
        {
            "demo/a.py": "x = 1\r\n",
            "demo/data.bin": "?",
            "demo-2.0.dist-info/METADATA": METADATA.format(name="demo"),
        },
    )
    archive = archives.read_archive(wheel)
    assert (archive.name, archive.version, archive.license) == ("demo", "1.0", "MIT")
    assert archive.sources == {"demo/a.py": "x = 1\n"}
    sdist = write_sdist(tmp_path, "other", {"other.py": "y = 2\n", "pyproject.toml": "[project]\n"})
    archive = archives.read_archive(sdist)
    assert archive.sources == {"other-1.0/other.py": "y = 2\n"}
    assert archive.pyproject == "[project]\n"
    assert archives.list_archives(tmp_path) == [wheel, sdist]


def test_names_that_are_no_utf_8_become_text(tmp_path):
    path = write_wheel(tmp_path, {"a.py": "x = 1\n"}).rename(tmp_path / "n\udcff-1.0.whl")
    assert archives.read_archive(path).name == "n?"
    sdist = write_sdist(tmp_path, "s", {"\udcff.py": "x = 1\n"})
    assert list(archives.read_archive(sdist).sources) == ["s-1.0/?.py"]


def test_large_tables_and_bombs_are_left_out(tmp_path, monkeypatch):
    path = write_wheel(
        tmp_path, {"a.py": "x = 1\n", "table.py": "T = [" + "1," * (1 << 20) + "]\n"}
    )
    assert list(archives.read_archive(path).sources) == ["a.py"]
    monkeypatch.setattr(archives, "_MAX_TOTAL", 3)
    with pytest.raises(ValueError, match=r"more than .* of sources"):
        archives.read_archive(path)
    monkeypatch.setattr(archives, "_MAX_UNPACKED", 3)
    with pytest.raises(ValueError, match="unpacked"):
        archives.unpack(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.whl", "a.tar.gz"])
def test_what_is_no_archive_is_a_reason(tmp_path, name):
    (tmp_path / name).write_bytes(b"not an archive")
    with pytest.raises(ValueError, match="no readable archive"):
        archives.read_archive(tmp_path / name)


def test_nothing_lands_outside_the_folder(tmp_path):
    path = tmp_path / "evil-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("../outside.py")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(ValueError, match="no readable archive"):
        archives.unpack(path, tmp_path / "in")
    link = tmp_path / "link-1.0.tar.gz"
    with tarfile.open(link, "w:gz") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(ValueError, match="no readable archive"):
        archives.unpack(link, tmp_path / "in")
    assert not (tmp_path / "outside.py").exists()


def test_an_empty_folder_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no archives; expected sdists or wheels; set packages"):
        archives.list_archives(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# -*- coding: latin-1 -*-\nK = 'é'\n".encode("latin-1"), "é"),
        ("\ufeffK = 'é'\n".encode(), "é"),
        ("#!/bin/python\n# vim: set fileencoding=cp1251 :\nK = 'ж'\n".encode("cp1251"), "ж"),
        ("K = 'é'\r\n\rL = 2\r".encode(), "é'\n\nL = 2\n"),
    ],
)
def test_a_source_is_read_in_its_own_encoding(content, expected):
    text = archives.decode_source(content)
    assert expected in text
    compile(text, "a.py", "exec")


@pytest.mark.parametrize(
    "content", [b"K = '\xe9'\n", b"# coding: nonsense\nK = 1\n", b"# coding: zlib\nK = 1\n"]
)
def test_a_source_that_python_refuses_is_empty(content):
    assert archives.decode_source(content) == ""


@pytest.mark.parametrize("others", [["pkg/METADATA"], ["METADATA"], ["pkg/x.dist-info/METADATA"]])
def test_a_wheel_s_license_is_of_its_own_metadata(tmp_path, others):
    own = {"demo-2.0.dist-info/METADATA": METADATA.format(name="demo").replace("MIT", "GPL-3.0")}
    stray = dict.fromkeys(others, METADATA.format(name="stray"))
    for files in (own | stray, stray | own):
        archive = archives.read_archive(write_wheel(tmp_path, files))
        assert (archive.name, archive.license) == ("demo", "GPL-3.0")


@pytest.mark.parametrize("other", ["METADATA", "tests/data/PKG-INFO", "pkg/METADATA"])
def test_an_sdist_s_license_is_of_its_own_metadata(tmp_path, other):
    path = write_sdist(tmp_path, "demo", {other: METADATA.format(name="stray")})
    assert archives.read_archive(path).name == "demo"


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_a_tar_archive_takes_no_memory(tmp_path, kind):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 5 << 20
    path = tmp_path / "bomb-1.0.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + b"0" * info.size))
    for read in (archives.read_archive, lambda path: archives.unpack(path, tmp_path / "out")):
        with pytest.raises(ValueError, match="a header of 5242880 bytes"):
            read(path)


def test_long_names_of_many_entries_take_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_MAX_TOTAL", 4000)
    path = tmp_path / "long-1.0.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(9):
            archive.addfile(tarfile.TarInfo(f"{number}{'x' * 900}"))
    for read in (archives.read_archive, lambda path: archives.unpack(path, tmp_path / "out")):
        with pytest.raises(ValueError, match="names of many bytes"):
            read(path)


def test_entries_of_a_tar_archive_are_counted(tmp_path, monkeypatch):
    path = write_sdist(tmp_path, "demo", dict.fromkeys(map(str, range(9)), ""))
    monkeypatch.setattr(archives, "_MAX_ENTRIES", 5)
    for read in (archives.read_archive, lambda path: archives.unpack(path, tmp_path / "out")):
        with pytest.raises(ValueError, match="more than 5 files and folders"):
            read(path)
