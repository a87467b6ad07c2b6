"""A cache's folder is known by its index and its runs' files; everything else is a stranger's."""

import json

import pytest

from codex_jax import InputError
from codex_jax.data.cache_command import cache_on_beam
from codex_jax.data.cache_folder import (
    FORMAT,
    check_settings,
    claim_cache,
    describe,
    is_remote,
    is_run,
    is_run_name,
    new_run,
    parse_index,
)
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.cleaning.filters import Filters
from codex_jax.data.corpus import SourceTree

from .conftest import write_tree

FIELDS = {"format": FORMAT, "run": "run-00112233", "sources": {}, "cleaning": {}, "trees": {}}
INDEX = json.dumps(FIELDS | {"tokenizer_hash": "t", "sequence_length": 8, "seed": 0})
RECORD = "t-train-00000-of-00002.tfrecord"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"cache.json": INDEX, f"run-00112233/{RECORD}": "language"},
        {f"run-00112233/{RECORD}.partial-0123abcd": "", "run-00112233/counts.json": "[]"},
        {"cache.json": INDEX, "partial-0123abcd-cache.json": "{"},
    ],
)
def test_a_cache_or_what_a_killed_run_left_is_its_own(tmp_path, files):
    folder = write_tree(tmp_path / "cache", files)
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    claim_cache(str(folder))
    claim_cache("gs://bucket/folder")
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("files", "stranger"),
    [
        ({"notes.txt": "x"}, "notes.txt"),
        ({"cache.json": "{}"}, "cache.json"),
        ({"cache.json": INDEX, f"run-00112233/{RECORD}": "a film"}, "run-00112233"),
        ({"cache.json": INDEX, "run-00112233/notes": "x"}, "run-00112233"),
        ({"run-00112233": "a file"}, "run-00112233"),
        ({"cache.json": INDEX, "run-00112233/sub/x": "x"}, "run-00112233"),
    ],
)
def test_a_stranger_is_refused(tmp_path, files, stranger):
    folder = write_tree(tmp_path / "cache", files)
    with pytest.raises(InputError, match=f"holds '{stranger}'"):
        claim_cache(str(folder))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "another"}', "null"])
def test_a_damaged_index_is_one_line(text):
    with pytest.raises(InputError, match="cache the corpus again") as error:
        parse_index("c/cache.json", text)
    assert "\n" not in str(error.value)


def test_an_index_is_read_and_runs_have_names_of_their_own():
    assert parse_index("", INDEX)["run"] == "run-00112233"
    assert len({new_run() for _ in range(50)}) == 50
    assert is_remote("gs://bucket/cache")
    assert not is_remote("/tmp/cache")


def test_an_index_without_its_fields_is_damaged():
    with pytest.raises(InputError, match="it lacks seed, sequence_length, tokenizer_hash"):
        parse_index("", json.dumps(FIELDS))


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("run-00112233", [RECORD, "counts.json"], True),
        ("run-00112233", [RECORD, "notes.txt"], False),
        ("run-baseline-2024", [RECORD], False),
        ("run-0011223g", [], False),
    ],
)
def test_only_a_run_s_name_and_files_are_a_run(name, files, expected):
    assert (is_run_name(name) and is_run(files)) is expected


def test_settings_are_compared_by_their_names():
    cleaning = describe(Cleaning(licenses=("MIT",)))
    check_settings("c", cleaning, describe(Cleaning(licenses=["MIT"])))
    other = describe(Cleaning(licenses=("MIT",), filters=Filters(generated=False)))
    with pytest.raises(InputError, match=r"c: cached with filters.generated=True, which is False"):
        check_settings("c", cleaning, other)


def test_a_tree_s_path_is_the_same_from_any_folder(tmp_path, monkeypatch):
    settings = describe(SourceTree(path=str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    assert describe(SourceTree(path=".")) == settings


@pytest.mark.parametrize("files", [0, -1, 10**9, 1.5])
def test_a_number_of_files_that_no_worker_writes_is_refused(tmp_path, files):
    with pytest.raises(InputError, match=r"data\.cache\.files is .*1 or more and at most 100000"):
        cache_on_beam(tokenizer="absent.json", output=str(tmp_path / "a"), files=files)
    assert not (tmp_path / "a").exists()
