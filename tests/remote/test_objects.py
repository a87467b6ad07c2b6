"""Objects: whole, conditional, and with a line for what fails."""

import pytest

from codex_jax import InputError
from codex_jax.remote import objects
from codex_jax.remote.objects import ABSENT, ConflictError, Objects
from tests.fake_gcs import RefusalError


def test_known_answer(bucket):
    folder = Objects("gs://bucket/run/")
    assert folder.read("x") == (None, ABSENT)
    generation = folder.write("x", b"1")
    assert folder.read("x") == (b"1", generation)
    folder.write("sub/y", b"")
    assert sorted(folder.list()) == ["sub/y", "x"]
    assert sorted(bucket.objects) == ["run/sub/y", "run/x"]
    folder.write("x", None)
    assert folder.list() == ["sub/y"]


def test_a_folder_lists_none_of_its_neighbors(bucket):
    bucket.write("run2/x", b"", {})
    bucket.write("runs", b"", {})
    assert Objects("gs://bucket/run").list() == []
    assert sorted(Objects("gs://bucket").list()) == ["run2/x", "runs"]


def test_a_prefix(bucket):
    for name in ("run/a", "run/ab/é", "run/a\U0001f600", "run/b"):
        bucket.write(name, b"", {})
    assert sorted(Objects("gs://bucket/run").list("a")) == ["a", "ab/é", "a\U0001f600"]


def test_a_lost_answer_is_no_other_writer(bucket, monkeypatch):
    write, is_lost = bucket.write, [True]

    def lose_answer(name, content, query):
        answer = write(name, content, query)
        if is_lost.pop():
            is_lost.append(False)
            raise RefusalError(503)
        is_lost.append(False)
        return answer

    monkeypatch.setattr(bucket, "write", lose_answer)
    folder = Objects("gs://bucket/run")
    generation = folder.write("x", b"1", ABSENT)
    assert folder.write("x", b"2", generation)
    assert bucket.objects["run/x"].content == b"2"
    assert len(bucket.writes) == 2


@pytest.mark.usefixtures("bucket")
def test_of_two_writers_one_is_refused():
    first, second = Objects("gs://bucket/run"), Objects("gs://bucket/run")
    generation = first.write("x", b"1", ABSENT)
    with pytest.raises(ConflictError, match="gs://bucket/run/x was written by another process"):
        second.write("x", b"2", ABSENT)
    second.write("x", b"2", generation)
    for content in (b"3", None):
        with pytest.raises(ConflictError):
            first.write("x", content, generation)
    assert first.read("x")[0] == b"2"


@pytest.mark.usefixtures("bucket")
def test_an_absent_bucket_is_named():
    with pytest.raises(InputError, match=r"gs://absent/run/x: .*expected a bucket that"):
        Objects("gs://absent/run").write("x", b"")


def test_a_refused_write_is_a_line(bucket):
    bucket.fault = 403
    with pytest.raises(InputError) as caught:
        Objects("gs://bucket/run").write("x", b"")
    assert str(caught.value).startswith("gs://bucket/run/x: PERMISSION_DENIED")
    assert "\n" not in str(caught.value)


def test_a_server_that_is_away_is_tried_again(bucket, monkeypatch):
    bucket.faults = 2
    Objects("gs://bucket/run").write("x", b"1")
    assert bucket.objects["run/x"].content == b"1"
    bucket.fault = 503
    monkeypatch.setattr(objects, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(InputError, match="gs://bucket/run/x: no answer within 0 s"):
        Objects("gs://bucket/run").write("x", b"2")
