"""gin files: where they are found, and malformed ones as a line with file and line number."""

import pytest

from codex_jax import InputError
from codex_jax.main import gin_files


class AnyName:
    """Accepts every name."""

    def check_name(self, name, source):
        """Accepts."""

    def use_macro(self, name, source):
        """Accepts."""


def parse(path):
    return [source for source, _ in gin_files.parse_file(path, AnyName())]


def test_our_gin_files_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = gin_files.find_config("gin_configs/quickstart/train.gin")
    assert path.is_file()
    assert path == gin_files.find_config("quickstart/train.gin")


def test_a_file_next_to_the_including_one_wins(tmp_path):
    (tmp_path / "quickstart").mkdir()
    (tmp_path / "quickstart" / "train.gin").write_text("")
    assert gin_files.find_config("quickstart/train.gin", tmp_path).parent.parent == tmp_path
    assert gin_files.find_config("model/85m.gin", tmp_path) == (
        gin_files.config_dir() / "model" / "85m.gin"
    )


def test_a_missing_file_names_both_folders(tmp_path):
    with pytest.raises(InputError) as caught:
        gin_files.find_config("absent.gin", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/absent.gin: no such gin file; expected it there or in {gin_files.config_dir()}"
    )


def test_statements_carry_their_lines(tmp_path):
    path = tmp_path / "a.gin"
    path.write_text("# comment\nA = 1\n\nB = 2\n")
    assert parse(path) == [f"{path}:2", f"{path}:4"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path, encoding):
    path = tmp_path / "a.gin"
    path.write_text("A = 'é'\n", encoding)
    assert parse(path) == [f"{path}:1"]


@pytest.mark.parametrize(
    ("encoding", "message"),
    [("latin-1", "2: byte 0xe9 is not UTF-8"), ("utf-16", "1: byte 0xff is not UTF-8")],
)
def test_other_encodings_are_named_by_their_first_byte(tmp_path, encoding, message):
    path = tmp_path / "a.gin"
    path.write_text("A = 1\nB = 'é'\n", encoding)
    with pytest.raises(InputError, match=rf"a\.gin:{message}; save as UTF-8"):
        parse(path)


@pytest.mark.parametrize(
    ("text", "is_value"),
    [
        ("1e-3", True),
        ("(1, 2)", True),
        ("[1,", True),
        ("'a'", True),
        ("a", False),
        ("gs://b/c", False),
        ("10-b", False),
    ],
)
def test_a_bare_word_is_no_value(text, is_value):
    assert gin_files.is_gin_value(text) == is_value
