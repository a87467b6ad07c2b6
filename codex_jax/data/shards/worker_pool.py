"""Parts made by processes of their own, each fed through its standard input.

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
from typing import Any

from codex_jax import InputError
from codex_jax.data.shards.shards import Job, Maker, Part


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_all(job: Job, parts: Iterable[Part], workers: int) -> Iterator[Part]:
    """Makes the parts and yields each when it is finished, in no order; here if `workers` is 0.

    Raises:
      InputError: a worker died, and on which files.
    """
    if not workers:
        maker = Maker(job)
        for part in parts:
            maker.make(part)
            yield part
        return
    results: queue.SimpleQueue[Part | Exception | None] = queue.SimpleQueue()
    shared, turn = iter(parts), threading.Lock()
    crew = [_Worker(job) for _ in range(workers)]
    watchers = [
        threading.Thread(target=worker.serve, args=(shared, turn, results)) for worker in crew
    ]
    try:
        for watcher in watchers:
            watcher.start()
        running = workers
        while running:
            result = results.get()
            if isinstance(result, Exception):
                raise result
            running -= result is None
            if result is not None:
                yield result
    except BaseException:
        for worker in crew:
            worker.process.kill()
        raise
    finally:
        for worker, watcher in zip(crew, watchers, strict=True):
            watcher.join()
            worker.end()


class _Worker:
    """A process that makes one part at a time."""

    def __init__(self, job: Job):
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
        )
        self._job = job

    def serve(self, parts: Iterator[Part], turn: threading.Lock, results: queue.SimpleQueue):
        """Has parts made until there are none left."""
        try:
            self._ask(self._job, "the settings")
            while True:
                with turn:
                    part = next(parts, None)
                if part is None:
                    break
                self._ask(part, f"{part.entries[0].path} … {part.entries[-1].path}")
                results.put(part)
            results.put(None)
        except Exception as error:
            results.put(error)

    def end(self) -> None:
        """Lets the process go, which ends by itself."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def _ask(self, what: Any, named: str) -> None:
        try:
            pickle.dump(what, self.process.stdin)
            self.process.stdin.flush()
            error = pickle.load(self.process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            status = self.process.wait()
            raise InputError(
                f"a worker died (status {status}) at {named}; is memory short? turn workers, or "
                "exclude the file"
            ) from None
        if error:
            raise error


def _work() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the build hears it, and ends us
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints
    maker = None
    while True:
        try:
            asked = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            if isinstance(asked, Job):
                maker = Maker(asked)
            else:
                maker.make(asked)
            error = None
        except (InputError, OSError) as found:
            error = found
        pickle.dump(error, answers)
        answers.flush()


if __name__ == "__main__":
    _work()
