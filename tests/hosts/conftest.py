"""Real processes on localhost, over gloo."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def free_port():
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return listening.getsockname()[1]


class Processes:
    """The processes of a run."""

    def __init__(self, folder, compiled):
        self.folder = folder
        self.compiled = compiled  # compiled programs, which the runs share
        self.running = {}

    def start(self, count, *, steps=8, limits=None, sabotage=None, absent=(), **options):
        """Starts all but the absent; `sabotage` is by process."""
        port = free_port()
        limits = {"lost_after_s": 20.0, "timeout_s": 900.0} | (limits or {})
        for index in set(range(count)) - set(absent):
            faults = dict((sabotage or {}).get(index, {}))
            settings = options | {"host_limits": limits} | faults.pop("settings", {})
            environment = os.environ | {
                "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
                "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
                "JAX_PLATFORMS": "cpu",
                "JAX_COMPILATION_CACHE_DIR": str(self.compiled),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
                "JAX_NUM_PROCESSES": str(count),
                "JAX_PROCESS_ID": str(index),
                "CODEX_JAX_DISTRIBUTED": "1",
                "CODEX_JAX_START_TIMEOUT": "300",
            }
            environment |= faults.pop("environment", {})
            folder = faults.pop("folder", self.folder / "run")
            words = [
                str(folder),
                str(faults.pop("steps", steps)),
                json.dumps(settings),
                json.dumps(faults),
            ]
            self.running[index] = subprocess.Popen(
                [sys.executable, "-m", "tests.hosts.small_run", *map(str, words)],
                env=environment,
                cwd=ROOT,
                text=True,
                stdout=subprocess.DEVNULL,
                stderr=(self.folder / f"{index}.log").open("w"),
            )

    def finish(self, seconds=900):
        """Waits for all; returns process → (status, what it wrote)."""
        for process in self.running.values():
            process.wait(seconds)
        return {
            index: (process.returncode, (self.folder / f"{index}.log").read_text())
            for index, process in self.running.items()
        }

    def close(self):
        for process in self.running.values():
            process.kill()
            process.wait()


@pytest.fixture
def processes(tmp_path, tmp_path_factory):
    """Processes that end with the test."""
    started = Processes(tmp_path, tmp_path_factory.getbasetemp() / "compiled")
    yield started
    started.close()
