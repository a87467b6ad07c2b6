"""Two real processes, on localhost over gloo, train as one does."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]

_TRAIN = """
import json, sys
import jax

directory, address, mesh = sys.argv[1], *sys.argv[4:]
processes, process_id = map(int, sys.argv[2:4])
if processes > 1:
    jax.distributed.initialize(address, processes, process_id)
assert (jax.device_count(), jax.process_count()) == (4, processes)
import numpy as np
from codex_jax.sharding import MeshShape, mesh as meshes

meshes.arrange_devices = lambda sizes, d: np.array([d[n] for n in ORDER]).reshape(sizes)
from tests.train import counting

counting.main(directory, 8, mesh=MeshShape(**json.loads(mesh)))
"""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return listening.getsockname()[1]


def trained(
    directory: pathlib.Path, *, processes: int, order=(0, 1, 2, 3), **mesh: int
) -> list[dict[str, float]]:
    """The lines of metrics.jsonl of a run on four devices, in this order, of some processes."""
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={4 // processes}",
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
    }
    address, shape = f"localhost:{free_port()}", json.dumps(mesh)
    script = _TRAIN.replace("ORDER", str(order))
    commands = [
        [
            sys.executable,
            "-c",
            script,
            *map(str, (directory, processes, process_id, address)),
            shape,
        ]
        for process_id in range(processes)
    ]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    running = [
        subprocess.Popen(command, env=environment, cwd=_ROOT, text=True, **pipes)
        for command in commands
    ]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * processes, "\n".join(errors)
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def assert_same(actual: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    for key in ("step", "loss", "grad_norm", "tokens"):
        values = [[line[key] for line in lines] for lines in (actual, expected)]
        assert values[0] == pytest.approx(values[1], rel=1e-4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run in one process: its folder, and its metrics."""
    folder = tmp_path_factory.mktemp("alone")
    return folder, trained(folder, processes=1, fsdp=4)


def test_two_processes_equal_one(alone, tmp_path):
    assert_same(trained(tmp_path, processes=2, replica=2, fsdp=2), alone[1])


@pytest.mark.parametrize(
    ("order", "mesh"),
    [
        ((0, 2, 1, 3), {"fsdp": 4}),
        pytest.param((3, 0, 1, 2), {"replica": 2, "fsdp": 2}, marks=pytest.mark.slow),
        ((2, 0, 3, 1), {"fsdp": 2, "tensor": 2}),
        pytest.param((0, 2, 3, 1), {"fsdp": 2, "context": 2}, marks=pytest.mark.slow),
    ],
)
def test_two_processes_with_interleaved_devices_equal_one(alone, tmp_path, order, mesh):
    assert_same(trained(tmp_path, processes=2, order=order, **mesh), alone[1])


def test_two_processes_go_on_where_one_stopped(alone, tmp_path):
    folder, expected = alone
    shutil.copytree(folder, tmp_path / "shared")
    shutil.rmtree(tmp_path / "shared" / "8")  # step 5 is the newest now
    assert_same(trained(tmp_path / "shared", processes=2, fsdp=4), expected)
