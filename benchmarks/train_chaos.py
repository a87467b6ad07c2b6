"""Trains in four processes, each in a network of its own, while faults strike; needs root.

    sudo python benchmarks/train_chaos.py --events 50 --folder /tmp/chaos

First a run without faults. Then a supervisor restarts a second one, as tpu_scripts would, while one
of these strikes at random moments: a process is killed, all are, a network is cut, the disk fills,
the newest checkpoint is truncated, SIGTERM comes, a reader reads. At the end: wrong losses, hangs
beyond the stated timeout, work lost, stops without a sentence; with any, the exit status is 1.
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import Self

ROOT = pathlib.Path(__file__).parents[1]
PROCESSES = 4
SAVE_EVERY = 10
BRIDGE, SUBNET, PORT = "cjchaos", "10.77.41", 29_417
SENTENCES = ("codex-jax: process ", "codex-jax train: ", "preempted: ")

WORKER = """
import sys, time
import numpy as np
from codex_jax import hosts
from codex_jax.hosts import HostLimits
from codex_jax.main import cli
from codex_jax.model import DecoderConfig
from codex_jax.records import Batch
from codex_jax.train.loop import train
from codex_jax.train.optimizer import Optimizer

folder, steps, pace, lost, save_every = sys.argv[1], *map(float, sys.argv[2:])

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


class Run:
    """The processes of a run, their folder and their logs."""

    def __init__(self, networks: Networks, folder: pathlib.Path, settings: argparse.Namespace):
        self.networks = networks
        self.folder = folder
        self.settings = settings
        self.running: dict[int, subprocess.Popen] = {}
        self.attempt = 0

    def start(self) -> None:
        """Starts all processes anew."""
        self.attempt += 1
        for n in range(PROCESSES):
            compiled = {"JAX_COMPILATION_CACHE_DIR": str(self.folder.parent / "compiled")}
            environment = {**compiled, **os.environ} | {
                "PYTHONPATH": str(ROOT),
                "JAX_PLATFORMS": "cpu",
                "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
                "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
                "CODEX_JAX_DISTRIBUTED": "1",
                "CODEX_JAX_START_TIMEOUT": "300",
                "JAX_COORDINATOR_ADDRESS": f"{self.networks.address(0)}:{PORT}",
                "JAX_NUM_PROCESSES": str(PROCESSES),
                "JAX_PROCESS_ID": str(n),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            }
            numbers = (
                self.settings.steps,
                self.settings.pace,
                self.settings.lost_after,
                SAVE_EVERY,
            )
            words = [sys.executable, "-c", WORKER, str(self.folder), *map(str, numbers)]
            self.running[n] = subprocess.Popen(
                self.networks.command(n, *words),
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=self.log(n).open("w"),
            )

    def log(self, n: int) -> pathlib.Path:
        """The file with the errors of a process of this attempt."""
        return self.folder.parent / f"{self.folder.name}-{self.attempt}-{n}.log"

    def wait(self, seconds: float) -> list[int]:
        """Waits for the end of all; returns those that hang, which are then killed."""
        end = time.monotonic() + seconds
        hanging = []
        for n, process in self.running.items():
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                hanging.append(n)
        self.kill(*hanging)
        return hanging

    def kill(self, *processes: int) -> None:
        """Kills processes."""
        for n in processes:
            self.running[n].kill()
            self.running[n].wait()

    def steps(self) -> dict[int, float]:
        """Step → loss of the steps in metrics.jsonl."""
        path = self.folder / "metrics.jsonl"
        losses = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            with contextlib.suppress(ValueError):
                fields = json.loads(line)
                losses[fields["step"]] = fields["loss"]
        return losses

    def unexplained(self, victims: set[int]) -> list[str]:
        """Ends of processes, besides the killed, without a sentence."""
        faults = []
        for n, process in self.running.items():
            text = self.log(n).read_text(errors="replace")
            is_told = any(sentence in text for sentence in SENTENCES)
            if process.returncode and n not in victims and not is_told:
                faults.append(f"attempt {self.attempt}, process {n}: status {process.returncode}")
        return faults


class Chaos:
    """Faults of a run, and what came of them."""

    def __init__(self, run: Run, chance: random.Random):
        self.run = run
        self.chance = chance
        self.counts: dict[str, int] = {}
        self.hangs: list[str] = []
        self.unexplained: list[str] = []
        self.was_terminated: set[int] = set()  # attempts that SIGTERM ended
        self.faults = (
            *(self.kill_one, self.kill_all, self.cut_network, self.fill_disk),
            *(self.truncate_newest, self.terminate, self.read),
        )

    def strike(self) -> None:
        """Has a fault strike, waits for the end of the run, and notes what was wrong."""
        fault = self.chance.choice(self.faults)
        name = fault.__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        print(f"{time.strftime('%T')} step {len(self.run.steps())}: {name}", flush=True)
        victims = fault()
        if name == "read":
            return
        timeout = self.run.settings.timeout
        self.hangs += [f"{name}: process {n}" for n in self.run.wait(timeout) if n not in victims]
        self.unexplained += [f"{name}: {line}" for line in self.run.unexplained(victims)]
        for n in range(PROCESSES):
            self.run.networks.connect(n, is_up=True)
        (self.run.folder.parent / "ballast").unlink(missing_ok=True)

    def kill_one(self) -> set[int]:
        """Kills a process."""
        n = self.chance.randrange(PROCESSES)
        self.run.kill(n)
        return {n}

    def kill_all(self) -> set[int]:
        """Kills all processes."""
        self.run.kill(*range(PROCESSES))
        return set(range(PROCESSES))

    def cut_network(self) -> set[int]:
        """Cuts a process off; it and the others must say so."""
        self.run.networks.connect(self.chance.randrange(PROCESSES), is_up=False)
        return set()

    def fill_disk(self) -> set[int]:
        """Fills the disk."""
        ballast = self.run.folder.parent / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb") as out:
            while True:
                out.write(bytes(1 << 16))
                out.flush()
        return set()

    def truncate_newest(self) -> set[int]:
        """Kills all, and truncates a file of the newest checkpoint."""
        self.run.kill(*range(PROCESSES))
        steps = sorted(int(p.name) for p in self.run.folder.glob("[0-9]*") if p.name.isdecimal())
        if len(steps) > 1:
            newest = self.run.folder / str(steps[-1])
            path = max(
                (p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size
            )
            os.truncate(path, path.stat().st_size // 2)
        return set(range(PROCESSES))

    def terminate(self) -> set[int]:
        """Sends SIGTERM to a process; all must save and leave with 75."""
        self.was_terminated.add(self.run.attempt)
        self.run.running[self.chance.randrange(PROCESSES)].send_signal(signal.SIGTERM)
        return set()

    def read(self) -> set[int]:
        """Reads the newest checkpoint while the run goes on."""
        script = "import sys; from codex_jax.checkpoint import read_card; read_card(sys.argv[1])"
        if any(path.name.isdecimal() for path in self.run.folder.glob("[0-9]*")):
            words = [sys.executable, "-c", script, str(self.run.folder)]
            done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=ROOT)
            if done.returncode:
                self.unexplained.append(f"read: {done.stderr[-300:]}")
        return set()

    def lost_work(self) -> list[str]:
        """Restarts that lost more than a save interval, or more than a step after SIGTERM."""
        too_much, attempt = [], 0
        for line in (self.run.folder / "events.jsonl").read_text().splitlines():
            event = json.loads(line)
            attempt += event["event"] == "start"
            limit = 1 if attempt - 1 in self.was_terminated else SAVE_EVERY
            if event["event"] == "lost_work" and event["steps"] > limit:
                too_much.append(f"attempt {attempt}: {event['steps']} steps")
        return too_much


def await_steps(run: Run, count: int) -> bool:
    """Waits until metrics.jsonl has so many steps; False if the run ends before."""
    while len(run.steps()) < count:
        if any(process.poll() is not None for process in run.running.values()):
            return False
        time.sleep(0.2)
    return True


def torment(run: Run, chaos: Chaos, events: int) -> None:
    """Runs to the last step, through so many events."""
    run.start()
    while len(run.steps()) < run.settings.steps or any(
        p.poll() is None for p in run.running.values()
    ):
        left = events - sum(chaos.counts.values())
        ahead = chaos.chance.randint(1, 2 * SAVE_EVERY)
        if left and await_steps(run, min(len(run.steps()) + ahead, run.settings.steps - 1)):
            chaos.strike()
        else:
            chaos.hangs += [f"undisturbed: process {n}" for n in run.wait(run.settings.timeout)]
        if all(process.poll() == 0 for process in run.running.values()):
            return
        if all(process.poll() is not None for process in run.running.values()):
            run.start()


def main() -> int:
    """Runs both, and prints what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=50, help="faults")
    parser.add_argument("--steps", type=int, default=600, help="steps of the run")
    parser.add_argument("--pace", type=float, default=0.1, help="least seconds of a batch")
    parser.add_argument("--lost_after", type=float, default=30.0, help="HostLimits.lost_after_s")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds to the end of all")
    parser.add_argument("--megabytes", type=int, default=64, help="size of the disk")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--folder", default="/tmp/chaos", help="of the disk and the logs")
    settings = parser.parse_args()
    disk = pathlib.Path(settings.folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid() or call("ip", "netns", "list", check=False).returncode:
        print("no chaos here: network namespaces need root and iproute2")
        return 0
    disk.mkdir(parents=True, exist_ok=True)
    call("mount", "-t", "tmpfs", "-o", f"size={settings.megabytes}m", "tmpfs", str(disk))
    try:
        with Networks() as networks, contextlib.ExitStack() as stack:
            straight = Run(networks, disk / "straight", settings)
            run = Run(networks, disk / "run", settings)
            stack.callback(lambda: run.kill(*run.running))
            stack.callback(lambda: straight.kill(*straight.running))
            straight.start()
            if hanging := straight.wait(3600):
                print(f"the run without faults hangs: {hanging}")
                return 1
            chaos = Chaos(run, random.Random(settings.seed))
            torment(run, chaos, settings.events)
            return report(straight.steps(), run, chaos)
    finally:
        call("umount", str(disk), check=False)


def report(expected: dict[int, float], run: Run, chaos: Chaos) -> int:
    """Prints the counts and what was wrong; returns the exit status."""
    losses = run.steps()
    wrong = [step for step, loss in expected.items() if losses.get(step) != loss]
    rows = {
        "events": chaos.counts,
        "attempts": run.attempt,
        "wrong losses": wrong,
        "hangs": chaos.hangs,
        "work lost": chaos.lost_work(),
        "stops without a sentence": chaos.unexplained,
    }
    print("\n".join(f"{name}: {value}" for name, value in rows.items()))
    return int(not expected or any(rows[name] for name in list(rows)[2:]))


if __name__ == "__main__":
    sys.exit(main())
