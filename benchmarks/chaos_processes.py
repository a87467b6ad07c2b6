"""Processes of a training run, each in a network namespace of its own; see train_chaos.py."""

import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import Self

ROOT = pathlib.Path(__file__).parents[1]
PROCESSES = 4
SAVE_EVERY = 10
SENTENCES = ("codex-jax: process ", "codex-jax train: ", "preempted: ")
START_TIMEOUT = 60  # CODEX_JAX_START_TIMEOUT, in seconds
BRIDGE, SUBNET, PORT = "cjchaos", "10.77.41", 29_417

WORKER = """
import os, sys, time
import numpy as np
from codex_jax import hosts
from codex_jax.hosts import HostLimits
from codex_jax.main import cli
from codex_jax.model import DecoderConfig
from codex_jax.records import Batch
from codex_jax.train.loop import train
from codex_jax.train.optimizer import Optimizer

steps, pace, lost, save_every = map(float, sys.argv[1:])

class Batches:
    fingerprint, tokenizer_hash, seed = "counting", "none", 0
    vocab_size, sequence_length, batch_size = 64, 32, 16

    def batches(self, start, rows=None):
        step = start
        while True:
            time.sleep(pace)
            begin = np.random.default_rng(step).integers(0, 64, (16, 1))
            run = ((begin + np.arange(33)) % 64).astype(np.int32)
            ones = np.ones((16, 32), np.int32)
            where = np.broadcast_to(np.arange(32, dtype=np.int32), (16, 32))
            batch = Batch(run[:, :-1], run[:, 1:], ones, where, ones.astype(np.float32))
            yield Batch(*(x[slice(None) if rows is None else rows] for x in batch))
            step += 1

def main():
    with hosts.joined():
        train(
            batches=Batches(),
            model=DecoderConfig(vocab_size=64, layers=1, width=32, heads=2, max_length=32),
            checkpoint_dir=folder,
            steps=int(steps),
            optimizer=Optimizer(warmup_steps=4),
            host_limits=HostLimits(lost_after_s=lost),
            log_every=1,
            save_every=int(save_every),
        )
    return 0

def fork():
    \"\"\"Returns the pid of a process whose parent is the supervisor; 0 in that process.\"\"\"
    out, into = os.pipe()
    if child := os.fork():
        os.waitpid(child, 0)
        return int(os.read(out, 20))
    if grandchild := os.fork():
        os.write(into, str(grandchild).encode())
        os._exit(0)
    return 0

print("ready", flush=True)
for line in sys.stdin:
    folder, log = line.split()
    if pid := fork():
        print(pid, flush=True)
        continue
    nothing = os.open(os.devnull, os.O_RDWR)
    for source, target in ((nothing, 0), (nothing, 1), (os.open(log, os.O_CREAT | os.O_WRONLY), 2)):
        os.dup2(source, target)
    sys.exit(cli._report_errors(main, ["train"]))
"""


def call(*words: str, check: bool = True) -> subprocess.CompletedProcess:
    """Runs a command of the system."""
    return subprocess.run(words, check=check, capture_output=True, text=True)


class Networks:
    """A network namespace for each process, joined by a bridge."""

    def __enter__(self) -> Self:
        self.remove()
        call("ip", "link", "add", BRIDGE, "type", "bridge")
        call("ip", "addr", "add", f"{SUBNET}.254/24", "dev", BRIDGE)
        call("ip", "link", "set", BRIDGE, "up")
        for n in range(PROCESSES):
            name, wire = self.name(n), self.wire(n)
            call("ip", "netns", "add", name)
            call("ip", "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", name)
            call("ip", "link", "set", wire, "master", BRIDGE, "up")
            inside = ("ip", "netns", "exec", name, "ip")
            call(*inside, "addr", "add", f"{self.address(n)}/24", "dev", "eth0")
            call(*inside, "link", "set", "eth0", "up")
            call(*inside, "link", "set", "lo", "up")
            folder = pathlib.Path("/etc/netns", name)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "hosts").write_text(f"127.0.0.1 localhost\n{self.address(n)} {name}\n")
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Removes what this script makes, and nothing else."""
        for n in range(PROCESSES):
            call("ip", "link", "del", self.wire(n), check=False)
            call("ip", "netns", "del", self.name(n), check=False)
            shutil.rmtree(f"/etc/netns/{self.name(n)}", ignore_errors=True)
        call("ip", "link", "del", BRIDGE, check=False)

    def name(self, n: int) -> str:
        """Name of a process's namespace and host."""
        return f"{BRIDGE}-{n}"

    def wire(self, n: int) -> str:
        """Name of the bridge's end of its wire."""
        return f"{BRIDGE}{n}"

    def address(self, n: int) -> str:
        """Its address."""
        return f"{SUBNET}.{n + 1}"

    def connect(self, n: int, *, is_up: bool) -> None:
        """Connects a process to the bridge, or cuts it off."""
        call("ip", "link", "set", self.wire(n), "up" if is_up else "down")

    def command(self, n: int, *words: str) -> list[str]:
        """A command within a namespace, on a host of its name."""
        script = f'hostname {self.name(n)}; exec "$@"'
        shell = ("unshare", "--uts", "bash", "-c", script, "bash")
        return ["ip", "netns", "exec", self.name(n), *shell, *words]


class Process:
    """A process that an interpreter forked, and whose parent this one is; as in subprocess."""

    def __init__(self, pid: int):
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Returns the exit status, None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, seconds: float = 60.0) -> int:
        """Waits for the end; raises TimeoutError."""
        end = time.monotonic() + seconds
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(0.05)
        return status

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills it."""
        self.send_signal(signal.SIGKILL)


class Interpreters:
    """An interpreter in each network, which has imported all and forks the processes there.

    A start then takes what joining and compiling take, and not the seconds of CPU of the imports.
    """

    def __init__(self, networks: Networks, settings: argparse.Namespace):
        self.networks = networks
        self.settings = settings
        self.logs = pathlib.Path(settings.folder, "logs")  # not on the disk that is filled
        libc = ctypes.CDLL(None)
        libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: the parent of what they fork
        self._running = [self._start(n) for n in range(PROCESSES)]
        for interpreter in self._running:
            interpreter.stdout.readline()

    def _start(self, n: int) -> subprocess.Popen:
        numbers = (
            *(getattr(self.settings, x) for x in ("steps", "pace", "lost_after")),
            SAVE_EVERY,
        )
        words = [sys.executable, "-c", WORKER, *map(str, numbers)]
        return subprocess.Popen(
            self.networks.command(n, *words),
            env=self._environment(n),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _environment(self, n: int) -> dict[str, str]:
        compiled = {"JAX_COMPILATION_CACHE_DIR": str(self.logs.parent / "compiled")}
        return {**compiled, **os.environ} | {
            "PYTHONPATH": str(ROOT),
            "JAX_PLATFORMS": "cpu",
            "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
            "CODEX_JAX_DISTRIBUTED": "1",
            "CODEX_JAX_START_TIMEOUT": str(START_TIMEOUT),
            "JAX_COORDINATOR_ADDRESS": f"{self.networks.address(0)}:{PORT}",
            "JAX_NUM_PROCESSES": str(PROCESSES),
            "JAX_PROCESS_ID": str(n),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }

    def fork(self, n: int, folder: pathlib.Path, log: pathlib.Path) -> Process:
        """Starts a process of the run in a folder."""
        interpreter = self._running[n]
        interpreter.stdin.write(f"{folder} {log}\n")
        interpreter.stdin.flush()
        return Process(int(interpreter.stdout.readline()))

    def close(self) -> None:
        """Ends them."""
        for interpreter in self._running:
            interpreter.kill()
            interpreter.wait()


class Run:
    """The processes of a run, their folder and their logs; one attempt follows another."""

    def __init__(self, interpreters: Interpreters, folder: pathlib.Path):
        self.interpreters = interpreters
        self.networks = interpreters.networks
        self.settings = interpreters.settings
        self.folder = folder
        self.running: dict[int, Process] = {}
        self.attempt = 0

    def start(self) -> None:
        """Starts all processes anew."""
        self.attempt += 1
        for n in range(PROCESSES):
            self.running[n] = self.interpreters.fork(n, self.folder, self.log(n))

    def log(self, n: int) -> pathlib.Path:
        """The file with the errors of a process of this attempt."""
        return self.interpreters.logs / f"{self.folder.name}-{self.attempt}-{n}.log"

    def sentence(self, n: int) -> str:
        """The last line of a process of this attempt that says why it ends, else its last one."""
        lines = [s for s in self.log(n).read_text(errors="replace").split("\n") if s.strip()]
        reasons = [line for line in lines if line.startswith(SENTENCES)]
        return (reasons or lines or [""])[-1]

    def wait(self, seconds: float, *besides: int) -> list[int]:
        """Waits for the end of all besides some; returns those that hang, which are then killed."""
        end = time.monotonic() + seconds
        hanging = []
        for n in self.running.keys() - set(besides):
            try:
                self.running[n].wait(max(0.1, end - time.monotonic()))
            except TimeoutError:
                hanging.append(n)
        self.kill(*hanging)
        return hanging

    def kill(self, *processes: int) -> None:
        """Kills processes."""
        for n in processes:
            self.running[n].kill()
            self.running[n].wait()

    @property
    def statuses(self) -> dict[int, int | None]:
        """Process → its exit status; None while it runs."""
        return {n: process.poll() for n, process in self.running.items()}

    def steps(self) -> dict[int, float]:
        """Step → loss of the steps in metrics.jsonl."""
        path = self.folder / "metrics.jsonl"
        losses = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            with contextlib.suppress(ValueError):
                fields = json.loads(line)
                losses[fields["step"]] = fields["loss"]
        return losses

    def checkpoints(self) -> dict[int, pathlib.Path]:
        """Step → folder of the whole checkpoints, ascending."""
        folders = {int(p.name): p for p in self.folder.glob("[0-9]*") if p.name.isdecimal()}
        return dict(sorted(folders.items()))

    def restores(self) -> list[int]:
        """Steps from which the attempts went on, in their order."""
        path, steps = self.folder / "events.jsonl", []
        for line in path.read_text().splitlines() if path.exists() else []:
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                steps += [event["step"] for _ in range(event["event"] == "restore")]
        return steps
