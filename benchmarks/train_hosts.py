"""Trains on several hosts and on one, and compares the batches, the losses and the arrays' bits.

    python benchmarks/train_hosts.py --part restarts
    python benchmarks/train_hosts.py --part interleaved

`restarts`: a run goes on with 8, 4, 2 and 8 processes of one device each; SIGTERM ends each
attempt. `interleaved`: four processes of two devices each, in an order that interleaves them as
TPU topologies do, against one process with the same mesh; both reduce by gloo, one also by XLA's
own code. The exit status is 1 where a batch differs, a loss by more than 1e-4 of it, or a bit.
"""

import argparse
import functools
import inspect
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
PREEMPTED = 75
TOLERANCE = 1e-4  # relative, of a loss: another order of float32 additions
ORDER = (0, 2, 5, 7, 4, 6, 1, 3)  # no process's two devices are neighbors
MESHES = (
    {"fsdp": 8},
    {"replica": 2, "fsdp": 4},
    {"fsdp": 4, "tensor": 2},
    {"fsdp": 4, "context": 2},
    {"replica": 2, "fsdp": 2, "tensor": 2},
)

WORKER = """
import hashlib, json, os, signal, sys
import numpy as np
from codex_jax import hosts
from codex_jax.main import cli
from codex_jax.sharding import MeshShape, mesh as meshes
from tests.train import counting

options = json.loads(sys.argv[1])
if order := options["order"]:
    meshes.arrange_devices = lambda sizes, d: np.array([d[n] for n in order]).reshape(sizes)

class Batches(counting.CountingBatches):
    def batches(self, start, rows=None):
        with open(options["rows_log"], "a", buffering=1) as log:
            for step, batch in enumerate(super().batches(start, rows), start):
                numbers = range(self.batch_size) if rows is None else rows.tolist()
                for n, row in enumerate(numbers):
                    content = b"".join(np.ascontiguousarray(x[n]).tobytes() for x in batch)
                    log.write(f"{step} {row} {hashlib.sha256(content).hexdigest()}\\n")
                if step == options["stop_at"] and options["is_first"]:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield batch

counting.CountingBatches = Batches

def main():
    with hosts.joined():
        counting.main(options["directory"], options["steps"], mesh=MeshShape(**options["mesh"]),
                      log_every=1)
    return 0

sys.exit(cli._report_errors(main, ["train"]))
"""


class Training:
    """A run in a folder, in attempts of some processes."""

    def __init__(self, folder: pathlib.Path, *, steps: int, mesh: dict[str, int], order=()):
        """Begins nothing yet.

        Args:
          folder: Of the run and its logs.
          steps: Of the whole run.
          mesh: Devices along each axis.
          order: Of the devices on the mesh.
        """
        folder.mkdir()
        self.folder = folder
        self.options = {"steps": steps, "mesh": mesh, "order": order}
        self.options |= {"directory": str(folder / "run")}

    def attempt(self, processes: int, *, devices: int = 1, stop_at: int = -1, joined=True) -> float:
        """Runs an attempt to its end, or to a SIGTERM at a step; returns its seconds."""
        with socket.socket() as listening:
            listening.bind(("localhost", 0))
            port = listening.getsockname()[1]
        began, running = time.monotonic(), []
        for n in range(processes):
            options = self.options | {"stop_at": stop_at, "is_first": n == processes - 1}
            options["rows_log"] = str(self.folder / f"rows-{processes}-{stop_at}-{n}")
            environment = os.environ | {
                "PYTHONPATH": str(ROOT),
                "JAX_PLATFORMS": "cpu",
                "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
                "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
                "CODEX_JAX_DISTRIBUTED": str(int(joined)),
                "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
                "JAX_NUM_PROCESSES": str(processes),
                "JAX_PROCESS_ID": str(n),
            }
            command = [sys.executable, "-c", WORKER, json.dumps(options)]
            log = (self.folder / f"{n}.log").open("a")
            running.append(subprocess.Popen(command, env=environment, cwd=ROOT, stderr=log))
        try:
            statuses = [process.wait(1200) for process in running]
        finally:
            for process in running:
                process.kill()
        if set(statuses) != {PREEMPTED if stop_at >= 0 else 0}:
            raise SystemExit(f"{processes} processes end with {statuses}; see {self.folder}/*.log")
        return time.monotonic() - began

    @property
    def lines(self) -> list[dict[str, float]]:
        """The steps' metrics."""
        text = (self.folder / "run" / "metrics.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    @property
    def rows(self) -> set[tuple[str, ...]]:
        """(step, row, hash) of the rows that any process read for a step that the run has."""
        lines = [s.split() for p in self.folder.glob("rows-*") for s in p.read_text().splitlines()]
        return {tuple(line) for line in lines if int(line[0]) < self.options["steps"]}

    @property
    def checksums(self) -> dict[str, int]:
        """Checksums of the last checkpoint's arrays, which are the same on any mesh."""
        path = self.folder / "run" / str(self.options["steps"]) / "card" / "metadata"
        return json.loads(path.read_text())["checksums"]


def compare_restarts(folder: pathlib.Path) -> bool:
    """Whether a run of 8, 4, 2 and 8 processes equals one without restarts."""
    straight = Training(folder / "straight", steps=40, mesh={})
    straight.attempt(1, devices=8, joined=False)
    resized = Training(folder / "resized", steps=40, mesh={})
    for processes, stop_at in ((8, 9), (4, 19), (2, 29), (8, -1)):
        seconds = resized.attempt(processes, stop_at=stop_at)
        print(f"{processes} processes: {len(resized.lines)} steps, {seconds:.0f} s", flush=True)
    batches = {
        "rows": resized.rows == straight.rows,
        "tokens": [line["tokens"] for line in resized.lines]
        == [line["tokens"] for line in straight.lines],
    }
    print(f"the same batches: {batches}, {len(straight.rows)} rows")
    losses = difference(resized, straight, "loss")
    print(f"largest relative difference: loss {losses:.1e}, ", end="")
    print(f"gradient norm {difference(resized, straight, 'grad_norm'):.1e}")
    return all(batches.values()) and losses <= TOLERANCE


def difference(run: Training, other: Training, name: str) -> float:
    """Largest relative difference of a metric; infinite where the steps differ."""
    if [line["step"] for line in run.lines] != [line["step"] for line in other.lines]:
        return float("inf")
    pairs = zip(run.lines, other.lines, strict=True)
    return max(abs(a[name] - b[name]) / abs(b[name]) for a, b in pairs)


def compare_interleaved(folder: pathlib.Path, meshes: int) -> bool:
    """Whether four processes with interleaved devices have the bits of one, on the first meshes."""
    are_same = []
    for mesh in MESHES[:meshes]:
        name = "-".join(f"{axis}{size}" for axis, size in mesh.items())
        runs = {}
        for label, processes, joined in (("four", 4, True), ("one", 1, True), ("xla", 1, False)):
            run = Training(folder / f"{name}-{label}", steps=10, mesh=mesh, order=ORDER)
            run.attempt(processes, devices=8 // processes, joined=joined)
            runs[label] = run
        equal = {
            label: all(difference(runs["four"], run, key) == 0 for key in ("loss", "grad_norm"))
            and runs["four"].checksums == run.checksums
            for label, run in runs.items()
            if label != "four"
        }
        apart = difference(runs["four"], runs["xla"], "loss")
        print(
            f"{name}: the bits of one process with gloo: {equal['one']}, with XLA's own "
            f"collectives: {equal['xla']} (losses differ by {apart:.1e})",
            flush=True,
        )
        are_same.append(equal["one"] and apart <= TOLERANCE)
    return all(are_same)


def main() -> int:
    """Compares, and prints what was found."""
    parser = argparse.ArgumentParser(description=inspect.cleandoc(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", choices=["restarts", "interleaved", "all"], default="all")
    parser.add_argument("--meshes", type=int, default=len(MESHES), help="of the interleaved part")
    settings = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    compare = functools.partial(compare_interleaved, meshes=settings.meshes)
    parts = {"restarts": compare_restarts, "interleaved": compare}
    chosen = [part for name, part in parts.items() if settings.part in (name, "all")]
    with tempfile.TemporaryDirectory() as folder:
        verdicts = [part(pathlib.Path(folder)) for part in chosen]
    return int(not all(verdicts))


if __name__ == "__main__":
    sys.exit(main())
