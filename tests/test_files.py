import pathlib

import pytest

from codex_jax import files


def write_half(path: pathlib.Path) -> None:
    """Fails in the middle of a write."""
    with files.atomic_path(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "new" / "a.json"
    files.atomic_write(path, "é")
    assert path.read_text("utf-8") == "é"
    files.atomic_write(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_changes_nothing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError):
        write_half(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b""),
        (b"a\n", b"a\n"),
        (b"a\nb", b"a\n"),
        (b"torn", b""),
        (b"a\n" + b"x" * 200_000, b"a\n"),
        (b"x" * 200_000, b""),
    ],
)
def test_only_a_torn_line_is_removed(tmp_path, before, after):
    path = tmp_path / "a.jsonl"
    path.write_bytes(before)
    assert files.repair_jsonl(path) == len(before) - len(after)
    assert path.read_bytes() == after


def test_an_absent_file_needs_no_repair(tmp_path):
    assert files.repair_jsonl(tmp_path / "absent") == 0
    assert not (tmp_path / "absent").exists()
