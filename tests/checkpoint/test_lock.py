"""The lock: one owner; a dead one's passes on, on this machine at once, elsewhere after a while."""

import json
import signal
import subprocess
import sys
import time

import pytest

from codex_jax import InputError
from codex_jax.checkpoint import FolderLock, lock
from codex_jax.checkpoint.own_files import LOCK_FILE

_HOLD = """
import sys, time
from codex_jax.checkpoint import FolderLock, lock
with FolderLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""

FAST = {"heartbeat_seconds": 0.05, "dead_after_seconds": 0.5}


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of tmp_path."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def write_owner(folder, **fields):
    owner = {"machine": "elsewhere boot", "pid": 7, "started": "then", "token": "t"} | fields
    (folder / LOCK_FILE).write_text(json.dumps(owner))
    return owner


def test_a_second_process_is_refused_by_name(tmp_path, holder):
    with pytest.raises(InputError) as caught, FolderLock(tmp_path):
        pass
    message = str(caught.value)
    assert message.startswith(f"checkpoint_dir {tmp_path} belongs to process {holder.pid} on ")
    assert message.endswith("set another checkpoint_dir, or end that one")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_owner_is_succeeded_at_once(tmp_path, holder, number):
    holder.send_signal(number)
    holder.wait()
    start = time.monotonic()
    with FolderLock(tmp_path, dead_after_seconds=1000):
        owner = json.loads((tmp_path / LOCK_FILE).read_text())
        assert owner["token"]
        with pytest.raises(InputError, match="belongs"):
            FolderLock(tmp_path).__enter__()
    assert time.monotonic() - start < 100


def test_one_process_holds_it_once_and_again_after_its_end(tmp_path):
    for _ in range(2):
        with FolderLock(tmp_path / "new" / "folder"), pytest.raises(InputError, match="belongs"):
            FolderLock(tmp_path / "new" / "folder").__enter__()
        assert (tmp_path / "new" / "folder" / LOCK_FILE).read_text() == ""


def test_an_owner_elsewhere_that_lives_is_refused(tmp_path, monkeypatch):
    owner = write_owner(tmp_path)
    beats = iter(range(1000))
    monkeypatch.setattr(FolderLock, "_read", lambda _: owner | {"heartbeat": min(next(beats), 3)})
    message = "belongs to process 7 on elsewhere, started then, which is running"
    with pytest.raises(InputError, match=message), FolderLock(tmp_path, **FAST):
        pass


def test_an_owner_elsewhere_whose_heartbeat_stands_still_is_dead(tmp_path, capsys):
    write_owner(tmp_path)
    with FolderLock(tmp_path, **FAST):
        owner = json.loads((tmp_path / LOCK_FILE).read_text())
        assert owner["token"] != "t"
    assert "waiting 0 s for a sign of life" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", '{"machine": "els', "[1]", "\x00\x00"])
def test_half_a_line_of_a_killed_owner_is_no_owner(tmp_path, content, capsys):
    (tmp_path / LOCK_FILE).write_text(content)
    with FolderLock(tmp_path, dead_after_seconds=1000) as lock:
        assert json.loads((tmp_path / LOCK_FILE).read_text())["token"] == lock.token
    assert capsys.readouterr().err == ""  # nobody was waited for


def test_heartbeats_are_written_and_a_successor_is_noticed(tmp_path):
    with FolderLock(tmp_path, **FAST) as lock:
        wait_for(lambda: json.loads((tmp_path / LOCK_FILE).read_text())["heartbeat"] > 1)
        lock.check()
        write_owner(tmp_path)
        wait_for(lambda: not lock._thread.is_alive())
        with pytest.raises(InputError, match="was taken over by process 7 on elsewhere"):
            lock.check()
    assert json.loads((tmp_path / LOCK_FILE).read_text())["token"] == "t"


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def write_owner_there(bucket, process, **fields):
    owner = {"machine": lock._machine(), "pid": process.pid, "started": "then", "token": "t"}
    owner |= {"pid_namespace": lock._pid_namespace()} | fields
    bucket.write(f"run/{LOCK_FILE}", json.dumps(owner).encode(), {})


def test_in_a_bucket_an_ended_process_of_this_machine_is_succeeded_at_once(bucket):
    process = subprocess.Popen(["true"])
    process.wait()
    write_owner_there(bucket, process)
    with FolderLock("gs://bucket/run", dead_after_seconds=1000):
        assert json.loads(bucket.objects[f"run/{LOCK_FILE}"].content)["token"] != "t"
    assert bucket.objects[f"run/{LOCK_FILE}"].content == b""


def test_in_a_bucket_a_process_of_another_container_is_waited_for(bucket):
    process = subprocess.Popen(["true"])
    process.wait()
    write_owner_there(bucket, process, pid_namespace="pid:[1]")
    start = time.monotonic()
    with FolderLock("gs://bucket/run", **FAST):
        assert time.monotonic() - start >= FAST["dead_after_seconds"]
