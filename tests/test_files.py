import pathlib

import pytest

from codex_jax import InputError, files


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


OWN = {
    "rows.jsonl": files.has_json_keys("task_id", "n", lines=True),
    "a.json": files.has_text("me"),
}


@pytest.mark.parametrize(
    ("name", "content", "is_own"),
    [
        ("rows.jsonl", '{"task_id": "a", "n": 1}\n', True),
        ("rows.jsonl", '{"task_', True),  # killed in its first line
        ("rows.jsonl", "", True),
        ("rows.jsonl", "notes of mine", False),
        ("rows.jsonl", '{"task_id": "a"}\n', False),
        ("rows.jsonl", '["task_id", "n"]\n', False),
        ("rows.jsonl", "[" * 100_000, False),
        ("a.json", "by me", True),
        ("a.json", "by you", False),
        ("partial-0123abcd-a.json", "half", True),
        ("partial-a.json", "mine", False),
        ("main.py", "", False),
    ],
)
def test_a_folder_that_holds_anything_else_is_refused(tmp_path, name, content, is_own):
    files.claim_folder(tmp_path, OWN, "output")
    files.claim_folder(tmp_path / "new", OWN, "output")
    (tmp_path / name).write_text(content)
    if is_own:
        files.claim_folder(tmp_path, OWN, "output")
    else:
        with pytest.raises(InputError, match=f"holds '{name}', .*; set output to a new or empty"):
            files.claim_folder(tmp_path, OWN, "output")
    assert (tmp_path / name).read_text() == content


@pytest.mark.parametrize("spelling", ["out/a.json", "out/../out/a.json", "link", "hard"])
def test_an_input_is_never_replaced(tmp_path, spelling):
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "a.json"
    path.write_text('{"hash": "1"}')
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "hard").hardlink_to(path)
    own = {"a.json": files.has_json_keys("hash")}
    files.claim_folder(tmp_path / "out", own, "output", [str(tmp_path / "absent")])
    with pytest.raises(InputError, match="is an input, which would be replaced; set output to"):
        files.claim_folder(tmp_path / "out", own, "output", [str(tmp_path / spelling)])
    assert path.read_text() == '{"hash": "1"}'


def test_a_file_where_a_folder_goes_is_refused(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(InputError, match="is a file; expected a folder"):
        files.claim_folder(tmp_path / "a", OWN, "output")


@pytest.mark.parametrize("path", ["/proc/x", "/proc/x/y", "link", "link/x", "/etc/passwd/x"])
@pytest.mark.parametrize("claim", [files.claim_folder, files.claim_file])
def test_a_path_where_nothing_can_be_created_is_refused(tmp_path, monkeypatch, claim, path):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("link").symlink_to("/nonexistent/x")
    own = files.has_text("mark") if claim is files.claim_file else OWN
    message = "nothing can be created in .*; set output to a path elsewhere|exists, and this"
    with pytest.raises(InputError, match=message):
        claim(path, own, "output")
    claim("new/folders/x", own, "output")
    assert [entry.name for entry in tmp_path.iterdir()] == ["link"]


@pytest.mark.parametrize(
    "name", ["n" * 300, "n" * 250, "a\0b", "loop/x", "new/" + "n" * 256 + "/x"]
)
@pytest.mark.parametrize("claim", [files.claim_folder, files.claim_file])
def test_a_name_that_no_file_can_have_is_refused_before_the_work(tmp_path, claim, name):
    """The temporary file beside it has a longer name."""
    (tmp_path / "loop").symlink_to("loop")
    own = files.has_text("mark") if claim is files.claim_file else OWN
    with pytest.raises(InputError, match=r"; set output to (another path|a path elsewhere)"):
        claim(tmp_path / name, own, "output")
    claim(tmp_path / ("n" * 230), own, "output")


def test_a_file_may_carry_its_mark_in_the_file_beside_it(tmp_path):
    own = {"rows.jsonl": files.is_beside("a.json", OWN["a.json"]), "a.json": OWN["a.json"]}
    (tmp_path / "rows.jsonl").write_text('{"task_id": "a"}\n')
    with pytest.raises(InputError, match=r"holds 'rows\.jsonl'"):
        files.claim_folder(tmp_path, own, "output")
    (tmp_path / "a.json").write_text("by me")
    files.claim_folder(tmp_path, own, "output")


def test_a_file_without_the_mark_is_refused(tmp_path):
    path = tmp_path / "a.json"
    check = files.has_json_keys("hash", "format")
    files.claim_file(path, check, "output")
    path.write_text('{"hash": "1", "format": "ours"}')
    files.claim_file(path, check, "output")
    for content in ('{"hash": "1"}', "print(1)", "3", '{"hash": '):
        path.write_text(content)
        with pytest.raises(InputError, match="exists, and this command didn't write it; set out"):
            files.claim_file(path, check, "out")
    with pytest.raises(InputError, match="exists"):
        files.claim_file(tmp_path, check, "output")


def test_what_is_nested_too_deep_is_no_json():
    assert files.parse_json(b'{"a": [1]}') == {"a": [1]}
    for text in ("[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000):
        with pytest.raises(ValueError, match=r"too deep|Expecting|delimiter"):
            files.parse_json(text)
