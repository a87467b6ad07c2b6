"""Paths are local, gs://, or refused in a line."""

import pathlib
import subprocess
import sys

import pytest

from codex_jax import InputError, checkpoint, files, records
from codex_jax.remote import paths


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.parametrize(
    ("path", "scheme"),
    [
        ("gs://b/x", "gs"),
        (pathlib.Path("gs://b/x"), "gs"),
        ("GS://b/x", "gs"),
        ("s3://b/x", "s3"),
        ("file:///tmp/x", "file"),
        ("/tmp/x", ""),
        ("x/y:z", ""),
        ("c:/x", ""),
        ("", ""),
    ],
)
def test_schemes(path, scheme):
    assert paths.scheme_of(path) == scheme
    assert paths.is_remote(path) == (scheme == "gs")


def test_pathlib_takes_a_slash_and_url_of_gives_it_back():
    assert paths.url_of(pathlib.Path("gs://b/x")) == "gs://b/x"
    assert paths.url_of("gs://b/x") == "gs://b/x"
    assert paths.url_of(pathlib.Path("/tmp")) == "/tmp"


@pytest.mark.parametrize(
    ("url", "parts"),
    [("gs://b/x/y/", ("b", "x/y")), ("gs://my.bucket_1-2", ("my.bucket_1-2", ""))],
)
def test_split_url(url, parts):
    assert paths.split_url(url) == parts


@pytest.mark.parametrize("url", ["gs://", "gs:///x", "gs://B ad/x", "/gs/b"])
def test_split_url_refuses(url):
    with pytest.raises(InputError, match="expected gs://BUCKET/NAME"):
        paths.split_url(url)


@pytest.mark.parametrize(
    ("path", "remote", "message"),
    [
        ("", True, "output is empty; set it to a path"),
        ("  ", True, "output is empty"),
        ("s3://b/x", True, "output is s3://b/x: s3:// isn't supported; set it to a local path"),
        ("hdfs://n/x", False, "hdfs:// isn't supported"),
        ("http://h/x", True, "http:// isn't supported"),
        ("gs://b/x", False, "output is gs://b/x, which must be on this machine"),
        (pathlib.Path("gs://b/x"), False, "output is gs://b/x, which must be on this machine"),
        ("gs://", True, "expected gs://BUCKET/NAME"),
        ("gs:", True, "expected gs://BUCKET/NAME"),
        ("gs:bucket/run", True, "expected gs://BUCKET/NAME"),
        (" gs://bucket/run", True, "with spaces around it; set it without them"),
        ("gs://bucket/run\n", True, "with spaces around it; set it without them"),
        ("gs://bucket/a/../b", True, "set it to a name without any of"),
        ("gs://bucket/./b", True, "set it to a name without any of"),
        ("gs://bucket/run#3", True, "set it to a name without any of"),
        ("gs://bucket/run*", True, "set it to a name without any of"),
        ("~/run", True, "whose ~ the shell left; set it to the full path"),
        ("~user/run", False, "whose ~ the shell left; set it to the full path"),
    ],
)
def test_refusals(path, remote, message):
    with pytest.raises(InputError) as caught:
        paths.check_path(path, "output", remote=remote)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["x", "/tmp/x", "gs://b/x"])
def test_accepted(path):
    paths.check_path(path, "output")


def test_no_function_of_files_makes_a_local_folder_of_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for url in ("gs://b/x", pathlib.Path("gs://b/x")):
        with pytest.raises(InputError, match="must be on this machine"):
            files.atomic_write(url, "text")
        with pytest.raises(InputError, match="must be on this machine"):
            list(records.read_jsonl(url, records.Problem))
        with pytest.raises(InputError, match="must be on this machine"):
            files.claim_file(url, lambda _: True, "output")
    assert list(tmp_path.iterdir()) == []


def test_local_paths_are_absolute_and_load_no_cloud_library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(paths.absolute("x")) == str(tmp_path / "x")
    program = "import sys; from codex_jax.remote.paths import to_path; to_path('/tmp')"
    program += "; print(*{'gcsfs', 'tensorstore', 'tensorflow'} & set(sys.modules))"
    assert run(program).strip() == ""


def test_a_remote_path_loads_no_tensorflow(bucket):
    bucket.write("run/x", b"1", {})
    program = "import sys; from codex_jax.remote.paths import to_path"
    program += "; print(to_path('gs://bucket/run/x').read_text(), 'tensorflow' in sys.modules)"
    assert run(program) == "1 False\n"


def test_gcsfs_that_is_absent_is_named(monkeypatch):
    monkeypatch.setattr(paths.importlib.util, "find_spec", lambda _: None)
    paths._configure.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'codex-jax\[gcs\]'"):
        paths.to_path("gs://b/x")


def test_files_of_a_folder_and_their_sizes(bucket, tmp_path):
    for name, content in {"a": b"1", "sub/b": b"", "sub/deep/c": b"333"}.items():
        bucket.write(f"run/{name}", content, {})
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    bucket.write("run2/d", b"", {})
    expected = {"a": 1, "sub/b": 0, "sub/deep/c": 3}
    assert paths.list_files("gs://bucket/run") == paths.list_files(tmp_path) == expected
    assert paths.list_files("gs://bucket/absent") == {}


def test_the_entries_of_a_folder(bucket, tmp_path):
    for name in ("8/card/metadata", "8/commit_success.txt", "trainer.lock"):
        bucket.write(f"run/{name}", b"1", {})
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    for folder in ("gs://bucket/run", "gs://bucket/run/", "gs:/bucket/run", tmp_path):
        assert sorted(path.name for path in paths.list_folder(folder)) == ["8", "trainer.lock"]
    assert paths.list_folder("gs://bucket/absent") == []
    assert paths.list_folder(tmp_path / "absent") == []


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("error", [OSError, ConnectionError, TimeoutError, RuntimeError])
def test_a_bucket_that_gives_no_answer_is_no_empty_folder(monkeypatch, error):
    import fsspec

    def fail(*_, **__):
        raise error("Cannot connect to host\nstorage")

    paths.to_path("gs://bucket/run")  # sets gcsfs up
    monkeypatch.setattr(fsspec.filesystem("gcs"), "ls", fail)
    message = "gs://bucket/run: Cannot connect to host storage; expected a bucket"
    with pytest.raises(InputError, match=message):
        paths.list_folder("gs://bucket/run")
    with pytest.raises(InputError, match=message):
        checkpoint.has_steps("gs://bucket/run")
