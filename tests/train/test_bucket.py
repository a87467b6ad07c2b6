"""A run whose checkpoints, lock and metrics are in a bucket: as one on a disk, killed ones too."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from codex_jax import InputError, checkpoint
from codex_jax.train import run_records
from tests.train import counting
from tests.train.test_loop import losses, run

_ROOT = pathlib.Path(__file__).parents[2]
_URL = "gs://bucket/run"


def losses_there(bucket) -> dict[int, float]:
    lines = bucket.objects["run/metrics.jsonl"].content.splitlines()
    return {line["step"]: line["loss"] for line in map(json.loads, lines)}


def test_a_run_in_a_bucket_is_the_same_as_on_a_disk(bucket, tmp_path):
    run(tmp_path / "local", steps=7)
    run(_URL, steps=7, save_every=3)
    assert losses_there(bucket) == losses(tmp_path / "local")
    assert checkpoint.reader.list_steps(_URL) == [6, 7]  # keep_latest = 2
    assert checkpoint.read_card(_URL).step == 7
    assert [n for n in bucket.objects if n.startswith("run/events.out.tfevents.")]
    assert bucket.objects["run/trainer.lock"].content == b""
    assert run(_URL, steps=7, save_every=3) == {}
    with pytest.raises(InputError, match="gs://bucket/run holds step 7 of another run"):
        run(_URL, steps=7, seed=1)


@pytest.mark.slow
def test_a_killed_run_goes_on(bucket, tmp_path):
    run(tmp_path, steps=12)
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    command = [sys.executable, counting.__file__, _URL, "12"]
    process = subprocess.Popen(command, env=environment, cwd=_ROOT, stderr=subprocess.PIPE)
    end = time.monotonic() + 300
    while "run/5/commit_success.txt" not in bucket.objects and time.monotonic() < end:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run(_URL, steps=12, log_every=2)
    assert losses_there(bucket) == losses(tmp_path)


def test_a_stranger_s_folder_is_refused(bucket):
    bucket.write("run/thesis.txt", b"1", {})
    with pytest.raises(InputError, match=r"gs://bucket/run holds 'thesis.txt'"):
        run(_URL, steps=9)
    assert list(bucket.objects) == ["run/thesis.txt"]


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("", "checkpoint_dir is empty; set it to a path"),
        ("s3://b/run", "s3:// isn't supported"),
        ("gs://absent/run", "gs://absent"),
    ],
)
def test_refusals(directory, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        run(directory, steps=9)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("bucket")
def test_only_process_0_writes_records(monkeypatch):
    with checkpoint.Checkpoints(_URL) as checkpoints:
        monkeypatch.setattr(run_records.jax, "process_index", lambda: 1)
        with run_records.open_records(checkpoints.directory) as (folder, _):
            assert folder == pathlib.Path()
        monkeypatch.undo()
