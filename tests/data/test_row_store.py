"""Rows on disk: damage is found, and is one line."""

import shutil

import pytest

from codex_jax import InputError

from .conftest import read_rows


def _cut_a_file(rows):
    victim = next(path for path in sorted(rows.glob("targets/c/**/*")) if path.is_file())
    victim.write_bytes(victim.read_bytes()[:-100])


def _flip_a_bit(rows):
    victim = next(path for path in sorted(rows.glob("tokens/c/**/*")) if path.is_file())
    content = bytearray(victim.read_bytes())
    content[20] ^= 1
    victim.write_bytes(content)


def _lose_a_file(rows):
    next(path for path in rows.glob("segment_ids/c/**/*") if path.is_file()).unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "no packed rows here"),
        (lambda rows: (rows / "meta.json").write_text("{"), "damaged"),
        (lambda rows: (rows / "meta.json").write_text('{"format": "x"}'), "another format"),
        (lambda rows: (rows / "meta.json").write_text("[]"), "damaged"),
        (lambda rows: shutil.rmtree(rows / "tokens"), "tokens can't be opened"),
        (_cut_a_file, "a row can't be read"),
        (_flip_a_bit, "a row can't be read"),
        (_lose_a_file, "a row can't be read"),
    ],
)
def test_damaged_rows_are_one_line(rows, tmp_path, spoil, message):
    copy = tmp_path / "copy"
    shutil.copytree(rows, copy)
    spoil(copy)
    with pytest.raises(InputError, match=message) as error:
        read_rows(copy)
    assert "\n" not in str(error.value)
