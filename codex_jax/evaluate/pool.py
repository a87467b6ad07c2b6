"""Judge processes, one a core, and the threads that feed them."""

import contextlib
import dataclasses
import json
import os
import pathlib
import queue
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence

from codex_jax import InputError, records
from codex_jax.evaluate import backends
from codex_jax.evaluate.judge import Outcome
from codex_jax.evaluate.sandbox import Limits

_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Job:
    """A program for a problem, each named by its content; equal jobs are one."""

    problem: str
    source: str


class WorkerLostError(Exception):
    """The judge process died or fell silent."""


class _Worker:
    """A judge process, spoken to in lines of JSON, and replaced when lost."""

    def __init__(self, pool: "Pool", core: int):
        self.pool, self.core = pool, core
        self.process: subprocess.Popen | None = None
        self.known: set[str] = set()  # problems it has been told

    def ask(self, do: str, job: Job, **request: object) -> dict:
        """A reply about a job, in three tries; what brings the judge down every time did so itself.

        Raises:
          InputError: the problem can't be judged, or sandboxes no longer start.
          WorkerLostError: the run is being stopped.
        """
        for _ in range(_ATTEMPTS):
            try:
                self._introduce(job.problem)
                return self._exchange(do, source=job.source, **request)
            except WorkerLostError:
                self.close()
                if self.pool.stopped.is_set():
                    raise
        detail = f"its answers brought the judge down {_ATTEMPTS} times"
        return dataclasses.asdict(Outcome("protocol_violation", detail))

    def _introduce(self, key: str) -> None:
        if self.process is None:
            self.process, self.known = self._started(), set()
        if key in self.known:
            return
        problem = self.pool.problems[key]
        reply = self._exchange("problem", key=key, problem=dataclasses.asdict(problem))
        if "unusable" in reply:
            raise InputError(f"problem {problem.task_id}: {reply['unusable']}; expected check()")
        self.known.add(key)

    def _started(self) -> subprocess.Popen:
        settings = {
            "backend": self.pool.backend.name,
            "python": str(self.pool.python),
            "limits": dataclasses.asdict(self.pool.limits),
            "core": self.core,
            "parent": os.getpid(),
        }
        root = str(pathlib.Path(__file__).parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.Popen(
            [sys.executable, "-m", "codex_jax.evaluate.worker", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )

    def _exchange(self, do: str, **request: object) -> dict:
        assert self.process is not None
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            stdin.flush()
        except OSError:
            raise WorkerLostError("it is gone") from None
        if not select.select([stdout], [], [], 60 + 30 * self.pool.limits.cpu_s)[0]:
            raise WorkerLostError("it is silent")
        line = stdout.readline()
        if not line.endswith(b"\n"):
            raise WorkerLostError("it is gone")
        reply = json.loads(line)
        if "infra_error" in reply:
            raise InputError(f"the sandbox stopped working ({reply['infra_error']}); run again")
        return reply

    def terminate(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def close(self) -> None:
        if self.process is None:
            return
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        for end in (self.process.terminate, self.process.kill):
            try:
                self.process.wait(timeout=10)
                break
            except subprocess.TimeoutExpired:
                end()
        self.process.wait()
        self.process = None


class Pool:
    """Judges programs of `problems` on `workers` cores; equal syntax trees are run once."""

    def __init__(
        self,
        problems: Mapping[str, records.Problem],
        *,
        backend: backends.Backend,
        python: pathlib.Path,
        limits: Limits,
        workers: int,
    ):
        self.problems, self.backend, self.python = problems, backend, python
        self.limits, self.workers = limits, workers
        self._known: dict[tuple[str, str], list[Job] | Outcome] = {}
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def judge(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Outcomes in the order they come. Closing the iterator ends all processes.

        Raises:
          InputError: a problem can't be judged, or sandboxes no longer start.
        """
        waiting = iter(jobs)
        finished: queue.SimpleQueue = queue.SimpleQueue()
        cores = sorted(os.sched_getaffinity(0))
        count = min(self.workers, len(jobs))
        workers = [_Worker(self, cores[i % len(cores)]) for i in range(count)]
        threads = [
            threading.Thread(target=self._serve, args=(waiting, finished, worker))
            for worker in workers
        ]
        for thread in threads:
            thread.start()
        try:
            running = len(threads)
            while running:
                item = finished.get()
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    running -= 1
                else:
                    yield item
        except BaseException:
            self.stopped.set()
            for worker in workers:
                worker.terminate()
            raise
        finally:
            for thread in threads:
                thread.join()

    def _serve(self, waiting: Iterator[Job], finished: queue.SimpleQueue, worker: _Worker) -> None:
        try:
            while not self.stopped.is_set():
                with self._lock:
                    job = next(waiting, None)
                if job is None:
                    break
                for outcome in self._outcomes(worker, job):
                    finished.put(outcome)
        except BaseException as error:
            finished.put(error)
        finally:
            worker.close()
            finished.put(None)

    def _outcomes(self, worker: _Worker, job: Job) -> list[tuple[Job, Outcome]]:
        """The job's outcome and those of equal programs that waited for it; or it waits itself."""
        reply = worker.ask("digest", job)
        if reply.get("error"):
            return [(job, Outcome("syntax_or_compile_error", reply["error"]))]
        if "digest" not in reply:
            return [(job, Outcome(**reply))]
        key = (job.problem, reply["digest"])
        with self._lock:
            known = self._known.setdefault(key, [])
            if isinstance(known, Outcome):
                return [(job, known)]
            known.append(job)
            if known[0] is not job:
                return []
        outcome = Outcome(**worker.ask("judge", job, key=job.problem))
        with self._lock:
            self._known[key] = outcome
        return [(waiter, outcome) for waiter in known]
