"""Archives are read in memory, within limits, and unpacked within their folder."""

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
