"""Mirrors: appended to here, whole there; nothing of a stranger's touched."""

import contextlib
import pathlib
import shutil
import threading

import pytest

from codex_jax import InputError
from codex_jax.remote import mirror as mirrors
from codex_jax.remote.mirror import (
    Mirror,
    local_copy,
    mirrored,
    name_pattern,
    name_prefix,
    split_name,
)
from codex_jax.remote.objects import ConflictError


def contents(bucket) -> dict[str, bytes]:
    return {name: stored.content for name, stored in bucket.objects.items()}


def test_local_paths_are_themselves(tmp_path):
    with mirrored(str(tmp_path / "x")) as path, local_copy(str(tmp_path / "y")) as copy:
        assert (path, copy) == (tmp_path / "x", str(tmp_path / "y"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_appended_comes_whole(bucket):
    bucket.write("run/log.jsonl", b"1\n", {})
    with mirrored("gs://bucket/run/log.jsonl") as path:
        with path.open("ab") as out:
            out.write(b"2\n")
        path.with_name("log.jsonl.job.json").write_text("{}")
        path.with_name("other").write_text("not ours")
        path.with_name("partial-12345678-log.jsonl").write_text("torn")
        assert contents(bucket) == {"run/log.jsonl": b"1\n"}
    assert contents(bucket) == {"run/log.jsonl": b"1\n2\n", "run/log.jsonl.job.json": b"{}"}
    assert not path.exists()


def test_a_folder_and_its_neighbors(bucket):
    for name in ("run/out/a", "run/out/sub/b", "run/out2/c", "run/outer"):
        bucket.write(name, name.encode(), {})
    with mirrored("gs://bucket/run/out/") as path:
        files = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
        assert files == {"a", "sub/b"}
        (path / "a").unlink()
        (path / "d").write_text("new")
    assert sorted(bucket.objects) == ["run/out/d", "run/out/sub/b", "run/out2/c", "run/outer"]


def test_what_didn_t_change_isn_t_written(bucket):
    bucket.write("run/x", b"1", {})
    bucket.writes.clear()
    with mirrored("gs://bucket/run/x"):
        pass
    assert bucket.writes == []


def test_an_upload_at_a_cadence(bucket):
    with mirrored("gs://bucket/run/x", cadence_seconds=0.01) as path:
        path.write_text("1")
        for _ in range(1000):
            if "run/x" in bucket.objects:
                break
            threading.Event().wait(0.01)
        assert contents(bucket) == {"run/x": b"1"}


def test_two_runs_never_overwrite_one_another(bucket):
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(mirrored("gs://bucket/run/x"))
        first.write_text("1")
        with mirrored("gs://bucket/run/x") as second:
            second.write_text("2")
        with pytest.raises(ConflictError, match="gs://bucket/run/x was written by another process"):
            stack.close()
    assert contents(bucket) == {"run/x": b"2"}
    assert first.read_text() == "1"  # nothing is lost


def test_a_mark_goes_first_and_comes_last(bucket):
    with mirrored("gs://bucket/rows", mark="meta.json") as path:
        path.mkdir()
        for name in ("meta.json", "tokens", "targets"):
            (path / name).write_text("1")
    assert bucket.writes[-1] == "rows/meta.json"
    deleted = []
    delete = bucket.delete
    bucket.delete = lambda name, query: (
        deleted.append((name, len(bucket.writes))),
        delete(name, query),
    )
    bucket.writes.clear()
    with mirrored("gs://bucket/rows", mark="meta.json") as path:
        (path / "tokens").write_text("22")
        (path / "meta.json").write_text("22")
    assert deleted == [("rows/meta.json", 0)]
    assert bucket.writes == ["rows/tokens", "rows/meta.json"]


def test_files_that_aren_t_read_stay_as_they_are_until_they_are_replaced(bucket):
    for name in ("rows/meta.json", "rows/tokens", "rows/old"):
        bucket.write(name, b"large", {})
    options = {"fetches": lambda name: name.endswith("meta.json")}
    with mirrored("gs://bucket/rows", **options) as path:
        assert (path / "meta.json").read_text() == "large"
        assert (path / "tokens").read_text() == "not read\n"
    assert set(contents(bucket).values()) == {b"large"}
    with mirrored("gs://bucket/rows", **options) as path:
        (path / "old").unlink()
        (path / "tokens").write_text("new")
    assert contents(bucket) == {"rows/meta.json": b"large", "rows/tokens": b"new"}


def test_an_error_in_the_block_uploads_what_is_there(bucket):
    def write_and_stop():
        with mirrored("gs://bucket/x/y") as path:
            path.write_text("1")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_stop()
    assert contents(bucket) == {"x/y": b"1"}


def test_a_failed_upload_keeps_the_files_and_names_them(bucket):
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(mirrored("gs://bucket/x/y"))
        path.write_text("1")
        bucket.fault = 403
        with pytest.raises(InputError, match=r"PERMISSION_DENIED.*; the files are in /"):
            stack.close()
    assert path.read_text() == "1"


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("gs://b/x", ("gs://b", "x")),
        ("gs://b/x/y/", ("gs://b/x", "y")),
        ("gs://b/x/{step}/y.jsonl", ("gs://b/x", "{step}/y.jsonl")),
        ("gs://b/x/y-{temperature}.jsonl.gz", ("gs://b/x", "y-{temperature}.jsonl.gz")),
    ],
)
def test_split_name(url, parts):
    assert split_name(url) == parts


def test_a_bucket_alone_is_no_name():
    with pytest.raises(InputError, match="expected gs://BUCKET/NAME"):
        split_name("gs://bucket")


@pytest.mark.parametrize(
    ("name", "other", "is_part"),
    [
        ("y", "y", True),
        ("y", "y/sub/x", True),
        ("y", "y2", False),
        ("y.json", "y.learnt.json", True),
        ("y.json", "yxjson", False),
        ("{step}/y", "12/y.job.json", True),
        ("{step}/y", "12/z", False),
        ("{step}.jsonl", "12.jsonl", True),
        ("{step}.jsonl", "sub/12.jsonl", False),
    ],
)
def test_name_pattern(name, other, is_part):
    assert bool(mirrors.re.fullmatch(name_pattern(name), other)) == is_part
    assert not is_part or other.startswith(name_prefix(name))


def test_a_copy_of_an_input_goes(bucket):
    bucket.write("in/problems.jsonl.gz", b"1", {})
    bucket.write("in/problems.jsonl.gz.job.json", b"2", {})
    with local_copy("gs://bucket/in/problems.jsonl.gz") as path:
        assert pathlib.Path(path).name == "problems.jsonl.gz"
        assert [p.read_bytes() for p in pathlib.Path(path).parent.iterdir()] == [b"1"]
    assert not pathlib.Path(path).exists()


@pytest.mark.parametrize("opener", [local_copy, mirrored])
def test_names_outside_the_copy_are_refused(bucket, tmp_path, monkeypatch, opener):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "here"))
    (tmp_path / "here").mkdir()
    bucket.write("in/x/../../../planted", b"1", {})
    with pytest.raises(InputError, match=r"gs://bucket/in/'x/../../../planted' can't be a file's"):
        opener("gs://bucket/in/x").__enter__()
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]  # nor is a copy left


def test_the_root_that_is_set_stays(bucket, tmp_path):
    with Mirror("gs://bucket/run", "x", root=tmp_path) as mirror:
        (mirror.root / "x").write_text("1")
    assert contents(bucket) == {"run/x": b"1"}
    assert (tmp_path / "x").exists()


@pytest.mark.parametrize("former", [{}, {"rows/meta.json": b"0", "rows/old": b"0"}])
def test_what_a_failed_upload_left_is_uploaded_by_the_next(bucket, tmp_path, former):
    for name, content in former.items():
        bucket.write(name, content, {})
    options = {"root": tmp_path, "mark": "meta.json", "fetches": lambda n: n.endswith("meta.json")}
    made = {"rows/meta.json": b"1", "rows/tokens/c": b"large"}
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(mirrored("gs://bucket/rows", **options))
        if path.exists():
            shutil.rmtree(path)
        (path / "tokens").mkdir(parents=True)
        for name, content in made.items():
            (tmp_path / name).write_bytes(content)
        bucket.fault = 403
        with pytest.raises(InputError, match="the files are in"):
            stack.close()
    with (
        pytest.raises(InputError, match="the files are in"),
        mirrored("gs://bucket/rows", **options),
    ):
        assert {name: (tmp_path / name).read_bytes() for name in made} == made
    bucket.fault = 0
    bucket.write("rows/notes", b"a stranger's", {})
    bucket.write("rows/validation/meta.json", b"0", {})  # of rows that these replace
    with mirrored("gs://bucket/rows", **options):
        pass
    assert contents(bucket) == made | {"rows/notes": b"a stranger's"}
    assert (tmp_path / "rows/tokens/c").read_bytes() == b"not read\n"  # its space is free


def test_a_copy_that_was_read_is_replaced_by_newer_objects(bucket, tmp_path):
    options = {"root": tmp_path, "mark": "meta.json", "fetches": lambda n: n.endswith("meta.json")}
    for content in (b"1", b"2"):
        for name in ("rows/meta.json", "rows/tokens"):
            bucket.write(name, content, {})
        with mirrored("gs://bucket/rows", **options) as path:  # as after a killed process
            assert (path / "meta.json").read_bytes() == content
    bucket.objects.clear()
    with mirrored("gs://bucket/rows", **options) as path:
        assert not path.exists()
    assert contents(bucket) == {}


def test_an_open_file_is_appended_to_after_a_pull(bucket, tmp_path):
    with (
        Mirror("gs://bucket/run", "x", root=tmp_path) as mirror,
        (tmp_path / "x").open("ab") as out,
    ):
        out.write(b"1\n")
        out.flush()
        mirror.push()
        mirror.pull()
        out.write(b"2\n")
        out.flush()
    assert contents(bucket) == {"run/x": b"1\n2\n"}
