"""Rows on disk: damage is found, and is one line."""

import json
import shutil

import pytest

from codex_jax import InputError
from codex_jax.data.packing.row_store import read_info
from codex_jax.data.stats import describe

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


def spoil_info(change):
    def spoil(rows):
        path = rows / "meta.json"
        info = json.loads(path.read_text())
        change(info)
        path.write_text(json.dumps(info))

    return spoil


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda info: info.pop("fingerprint"), "no field 'fingerprint'"),
        (lambda info: info.pop("vocab_size"), "no field 'vocab_size'"),
        (lambda info: info.pop("sources"), "no field 'sources'"),
        (lambda info: info.pop("format"), "no field 'format'"),
        (lambda info: info["sources"]["tree"].pop("redacted"), "no field 'redacted'"),
        (lambda info: info["sources"]["tree"].pop("languages"), "no field 'languages'"),
        (lambda info: info["sources"]["tree"]["languages"]["Python"].pop("files"), "field 'files'"),
        (lambda info: info.update(rows="many"), "rows is 'many'"),
        (lambda info: info.update(sources=[1]), r"sources is \[1\]"),
        (lambda info: info["sources"].update(tree=3), "counts of 'tree'"),
    ],
)
def test_old_rows_without_a_field_are_one_line(rows, tmp_path, change, message):
    copy = shutil.copytree(rows, tmp_path / "rows")
    spoil_info(change)(copy)
    with pytest.raises(InputError, match=message) as error:
        describe(read_info(copy))
    assert "build the rows again" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_field_that_nothing_reads_is_no_error(rows, tmp_path):
    copy = shutil.copytree(rows, tmp_path / "rows")
    spoil_info(lambda info: info.update(further=1))(copy)
    assert read_info(copy) == read_info(rows)
