"""Shards built by worker processes, each fed through its standard input.

They end when that is closed, so that none outlives a build that was killed.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

from codex_jax import InputError
from codex_jax.data.shards.shards import BuildSpec, Shard, ShardBuilder


def available_cpus() -> int:
    """Counts the CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build_shards(spec: BuildSpec, shards: Iterable[Shard], workers: int) -> Iterator[Shard]:
    """Builds the shards and yields each when it is done, in no order; here if `workers` is 0.

    Raises:
      InputError: a worker died, and on which files.
    """
    if not workers:
        builder = ShardBuilder(spec)
        for shard in shards:
            builder.build(shard)
            yield shard
        return
    results: queue.SimpleQueue[Shard | Exception | None] = queue.SimpleQueue()
    remaining, lock = iter(shards), threading.Lock()
    processes = [_Worker(spec) for _ in range(workers)]
    threads = [
        threading.Thread(target=worker.serve, args=(remaining, lock, results))
        for worker in processes
    ]
    try:
        for thread in threads:
            thread.start()
        running = workers
        while running:
            result = results.get()
            if isinstance(result, Exception):
                raise result
            running -= result is None
            if result is not None:
                yield result
    except BaseException:
        for worker in processes:
            worker.process.kill()
        raise
    finally:
        for worker, thread in zip(processes, threads, strict=True):
            thread.join()
            worker.close()


class _Worker:
    """A process that builds one shard at a time."""

    def __init__(self, spec: BuildSpec):
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
        )
        self._stdin = cast(BinaryIO, self.process.stdin)
        self._stdout = cast(BinaryIO, self.process.stdout)
        self._spec = spec

    def serve(
        self,
        shards: Iterator[Shard],
        lock: threading.Lock,
        results: "queue.SimpleQueue[Shard | Exception | None]",
    ) -> None:
        """Has shards built until there are none left."""
        try:
            self._request(self._spec, "the settings")
            while True:
                with lock:
                    shard = next(shards, None)
                if shard is None:
                    break
                self._request(shard, f"{shard.entries[0].path} … {shard.entries[-1].path}")
                results.put(shard)
            results.put(None)
        except Exception as error:  # noqa: BLE001 (raised again by `build_shards`)
            results.put(error)

    def close(self) -> None:
        """Closes the pipes, at which the process ends."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        self._stdout.close()
        self.process.wait()

    def _request(self, message: BuildSpec | Shard, name: str) -> None:
        try:
            pickle.dump(message, self._stdin)
            self._stdin.flush()
            error = pickle.load(self._stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            status = self.process.wait()
            raise InputError(
                f"a worker died (status {status}) at {name}; is memory short? set workers lower, "
                "or exclude the file"
            ) from None
        if error:
            raise error


def _work() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the build gets it, and ends us
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints
    builder = None
    while True:
        try:
            message = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        error: Exception | None = None
        try:
            if builder is None:
                builder = ShardBuilder(message)
            else:
                builder.build(message)
        except (InputError, OSError) as failure:
            error = failure
        pickle.dump(error, replies)
        replies.flush()


if __name__ == "__main__":
    _work()
