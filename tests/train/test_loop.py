"""The loop: learns, resumes bit for bit after kill -9, and refuses what doesn't fit."""

import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from codex_jax import InputError
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape
from codex_jax.train import step_loop
from codex_jax.train.compute import Compute
from codex_jax.train.loop import train
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.step_loop import is_due
from tests.train import counting
from tests.train.counting import CountingBatches

CONFIG = DecoderConfig(vocab_size=64, layers=2, width=32, heads=4, max_length=32)


def run(directory, *, steps=12, batches=None, **options):
    settings = {
        "model": CONFIG,
        "optimizer": Optimizer(learning_rate=1e-2, warmup_steps=4),
        "save_every": 5,
        "log_every": 5,
    }
    return train(
        batches=batches or CountingBatches(),
        checkpoint_dir=str(directory),
        steps=steps,
        **settings | options,
    )


def losses(directory) -> dict[int, float]:
    lines = (pathlib.Path(directory) / "metrics.jsonl").read_text().splitlines()
    return {line["step"]: line["loss"] for line in map(json.loads, lines)}


def test_it_learns_to_count(tmp_path):
    last = run(tmp_path, steps=40)
    assert last["loss"] < 1 < losses(tmp_path)[0]
    assert 0 <= last["data_wait"] < 1


def test_memory_is_looked_at_after_every_step(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(step_loop, "limit_kept_pages", lambda: looks.append(1))
    run(tmp_path, steps=5, optimizer=Optimizer(warmup_steps=1))
    assert len(looks) == 5


def test_an_ended_run_does_nothing(tmp_path):
    run(tmp_path, steps=5, optimizer=Optimizer(warmup_steps=1))
    before = (tmp_path / "metrics.jsonl").read_bytes()
    assert run(tmp_path, steps=5, optimizer=Optimizer(warmup_steps=1)) == {}
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def start(directory, steps) -> subprocess.Popen:
    here = pathlib.Path(counting.__file__)
    environment = os.environ | {"PYTHONPATH": str(here.parents[2]), "XLA_FLAGS": ""}
    return subprocess.Popen(
        [sys.executable, str(here), str(directory), str(steps)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_kill_at_random_moments_and_resume_bit_for_bit(tmp_path):
    assert start(tmp_path / "straight", 40).wait() == 0
    straight = losses(tmp_path / "straight")
    assert sorted(straight) == list(range(40))
    chance = random.Random(time.time_ns())
    lines = tmp_path / "killed" / "metrics.jsonl"
    for at in sorted(chance.sample(range(1, 39), 3)):
        process = start(tmp_path / "killed", 40)
        while process.poll() is None:
            if lines.exists() and lines.read_bytes().count(b"\n") >= at:
                break
            time.sleep(0.005)
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(tmp_path / "killed", 40).wait() == 0
    assert losses(tmp_path / "killed") == straight


def test_another_mesh_continues_the_run(tmp_path):
    run(tmp_path / "straight", steps=8, log_every=1)
    moved = tmp_path / "moved"
    run(moved, steps=8, mesh=MeshShape(tensor=2))
    shutil.rmtree(moved / "8")  # as if killed between the checkpoints of steps 5 and 8
    run(moved, steps=8, mesh=MeshShape(tensor=4))
    assert losses(moved) == pytest.approx(losses(tmp_path / "straight"), rel=1e-4)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    run(tmp_path, steps=5)
    with pytest.raises(InputError, match=r"model.layers: 2, 3.*set another checkpoint_dir"):
        run(tmp_path, steps=5, model=DecoderConfig(vocab_size=64, layers=3, width=32, heads=4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": DecoderConfig(vocab_size=65, layers=1, width=32, heads=4)}, "the data has 64"),
        ({"model": DecoderConfig(vocab_size=64, layers=1, width=32, heads=4, max_length=8)}, "32"),
        ({"model": dataclasses.replace(CONFIG, unembedding_bias=True)}, "can't be trained"),
        ({"compute": {"microbatches": 3}}, "not a multiple of 24"),
        ({"compute": {"remat": "some"}}, "remat is 'some'; expected one of 'none', 'minimal'"),
        ({"mesh": MeshShape(tensor=3)}, "does not fit 8 devices"),
        ({"batches": CountingBatches(batch_size=4)}, "batch_size 4 is not a multiple of 8"),
        (
            {"batches": CountingBatches(sequence_length=30), "mesh": MeshShape(context=2)},
            "30 tokens, which 2 × context = 4 does not divide",
        ),
        ({"compute": {"dtype": "float16"}}, "dtype is 'float16'; expected 'float32' or"),
        ({"compute": {"param_dtype": "int8"}}, "param_dtype is 'int8'; expected 'float32' or"),
        (
            {"mesh": MeshShape(tensor=8)},
            "heads' is 4, which tensor = 8 does not divide; set MeshShape.tensor",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_settings_that_do_not_fit_are_one_line(tmp_path, options, message):
    if compute := options.get("compute"):
        options = options | {"compute": Compute(**compute)}
    with pytest.raises(InputError, match=message) as caught:
        run(tmp_path, **options)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line_and_keeps_the_checkpoints_before(tmp_path):
    private = ["unshare", "-m" if os.geteuid() == 0 else "-Urm"]
    mount = f"mount -t tmpfs -o size=1000k tmpfs {tmp_path}"
    if subprocess.run([*private, "sh", "-c", mount], check=False, capture_output=True).returncode:
        pytest.skip("needs mount namespaces, to have a small disk")
    here = pathlib.Path(counting.__file__)
    # All eight checkpoints are kept, 2.7 MB, so that the disk is full before the end whatever else
    # is written, and the first one, a third of the disk, stays.
    run_all = (
        "from codex_jax.checkpoint import Retention; from tests.train.counting import main; "
        f"main('{tmp_path}/run', 40, retention=Retention(keep_latest=8))"
    )
    script = f'{mount} && {sys.executable} -c "{run_all}"; ls {tmp_path}/run/5'
    ended = subprocess.run(
        [*private, "sh", "-c", script],
        check=False,
        env=os.environ | {"PYTHONPATH": str(here.parents[2]), "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
    )
    raised = [line for line in ended.stderr.splitlines() if "Error: " in line]
    # Whichever write was the first without space: a checkpoint's, or a line of the metrics, which
    # the command line turns into a sentence.
    sentences = ("the disk is full", "No space left on device")
    assert any(sentence in raised[-1] for sentence in sentences), ended.stderr[-3000:]
    assert "params" in ended.stdout


@pytest.mark.parametrize(
    ("step", "expected"), [(0, False), (5, True), (7, False), (10, True), (12, True)]
)
def test_is_due(step, expected):
    assert is_due(step, every=5, last=12) is expected
