"""Runs as processes of their own: killed at any moment, and two that are one run over gloo."""

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from codex_jax import checkpoint
from tests.train.test_processes import free_port

ROOT = pathlib.Path(__file__).parents[2]
NAMES = ("step", "reward", "shadow_reward", "length", "distinct_programs")


def start(settings, devices=1, **changes):
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
    }
    command = [sys.executable, "-m", "tests.rl.run_once", json.dumps(settings | changes)]
    return subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(*running):
    errors = [process.communicate()[1].decode() for process in running]
    assert [process.returncode for process in running] == [0] * len(running), "\n".join(errors)


def lines_of(folder):
    path = pathlib.Path(folder, "metrics.jsonl")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


@pytest.fixture
def program(settings, sandbox_name):
    """Settings of a program of four batches, without its folder."""
    names = ("problems", "tokenizer", "init_from")
    return {name: settings[name] for name in names} | {
        "backend": sandbox_name,
        "steps": 4,
        "save_every": 1,
    }


def test_a_run_that_is_killed_ends_with_the_same_bits(program, tmp_path):
    straight, killed = (str(tmp_path / name) for name in ("straight", "killed"))
    finish(start(program, checkpoint_dir=straight))
    for batches in (1, 2):  # killed as soon as so many are done, wherever it is then
        process = start(program, checkpoint_dir=killed)
        deadline = time.monotonic() + 300
        while len(lines_of(killed)) < batches and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.communicate()
    finish(start(program, checkpoint_dir=killed))
    sums = [checkpoint.read_card(folder).checksums for folder in (straight, killed)]
    assert sums[0] == sums[1]
    rows = [[[line[n] for n in NAMES] for line in lines_of(f)] for f in (straight, killed)]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 4


def test_two_processes_are_one_run(program, tmp_path):
    alone, joined = (str(tmp_path / name) for name in ("alone", "joined"))
    finish(start(program, devices=2, checkpoint_dir=alone, steps=2))
    address = f"localhost:{free_port()}"
    finish(
        *(
            start(program, checkpoint_dir=joined, steps=2, join=(2, number, address))
            for number in range(2)
        )
    )
    rows = [[[line[n] for n in NAMES] for line in lines_of(f)] for f in (alone, joined)]
    assert rows[0] == rows[1]
    losses = [[line["loss"] for line in lines_of(folder)] for folder in (alone, joined)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4, abs=1e-7)
