"""benchmarks/gpu.sh, whose every step runs here at toy size; kernels are lowered elsewhere."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def run(*words, **environment):
    return subprocess.run(
        ["sh", ROOT / "benchmarks" / "gpu.sh", *words],
        env=os.environ | {"PYTHON": sys.executable, "XLA_FLAGS": ""} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_each_step_measures_something_at_toy_size(tmp_path):
    table = tmp_path / "table.json"
    done = run("--toy", "--stages", "rates,parity,train,sample", "--output", str(table))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row.pop("measurement"): row for row in json.loads(table.read_text())}
    assert list(rows) == ["rates", "parity", "sample llama_1b5 64", "train", *list(rows)[4:]]
    parity = rows["parity"]
    assert parity["float32 loss"] == 0, "the CPU differs from itself"
    assert 0 < parity["bfloat16 gradients"] < 0.05
    assert parity["greedy tokens"] == 1
    for name in ("train", "sample llama_1b5 64", "sample llama_1b5 64 int8"):
        assert rows[name]["tokens_per_s"] > 0


def test_a_measurement_that_fails_costs_its_row_and_the_exit_status():
    done = run("--toy", "--stages", "torch", PYTHONPATH="/nonexistent", CUDA_VISIBLE_DEVICES="")
    if done.returncode == 0:
        pytest.skip("torch and transformers are installed")
    assert done.returncode == 1
    assert "torch" in done.stdout
    assert "not measured: ModuleNotFoundError" in done.stdout
