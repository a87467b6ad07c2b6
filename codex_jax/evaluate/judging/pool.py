"""Judge processes, one a core, and the threads that feed them."""

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from codex_jax import InputError, records
from codex_jax.evaluate.sandbox.sandbox import Limits
from codex_jax.evaluate.verdicts import Cause, Outcome

_ATTEMPTS = 3
_MAX_FAILURES_IN_A_ROW = 3  # programs without a verdict before the run is given up
_CHUNK = 32  # programs that a worker gets at once
_CHUNK_PROBLEMS = 8
_CHUNK_CHARACTERS = 1 << 20
_PAUSE_S = 1.0
_GONE = "it is gone"
ENDS_JUDGE = "its test or its reference ends the judge,"
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
_MIN_REMAINING_S = 1.0  # of work, before and behind, that pays for starting more workers


@dataclasses.dataclass(frozen=True)
class Job:
    """A program to judge by a problem; equal jobs are judged once."""

    problem: str
    source: str


class WorkerLostError(Exception):
    """The worker exited or is silent."""


class InfraError(Exception):
    """The worker is alive but cannot start a sandbox."""


class _Worker:
    """The pool's handle of a worker process, which is started again if it is lost."""

    def __init__(self, pool: "Pool", core: int):
        self.pool, self.core = pool, core
        self.process: subprocess.Popen | None = None
        self.scratch: pathlib.Path | None = None  # its folder, which it deletes unless it is killed
        self.sent: dict[str, set[str]] = {}  # by problem sent: digests whose outcomes it has
        self._lines: collections.deque[bytes] = collections.deque()
        self._rest = b""

    def start(self) -> dict:
        """Starts it; returns its sandbox: {"backend": …, "python": …}, or {"unusable": reason}."""
        self.scratch = pathlib.Path(tempfile.gettempdir(), f"codex-jax-judge-{os.urandom(8).hex()}")
        settings = {
            "scratch": str(self.scratch),
            "sandbox": self.pool.sandbox,
            "limits": self.pool.limits._asdict(),
            "core": self.core,
            "parent": os.getpid(),
        }
        root = str(pathlib.Path(__file__).parents[3])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.sent, self._rest = {}, b""
        self._lines.clear()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "codex_jax.evaluate.judging.worker", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._send({"do": "start"})
        return self._reply()

    def judge(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Yields the outcomes of jobs, in order, soon after they are there.

        Raises:
          InputError: a problem can't be judged.
          WorkerLostError, InfraError: this process yields no more outcomes.
        """
        if self.process is None:
            self.start()
        problems, outcomes = self.pool.problems, self.pool.outcomes
        keys = dict.fromkeys(job.problem for job in jobs)
        unsent = {key: outcomes[key].keys() - self.sent.get(key, set()) for key in keys}
        self._send(
            {
                "do": "judge",
                "jobs": [(job.problem, job.source) for job in jobs],
                "problems": {key: vars(problems[key]) for key in keys if key not in self.sent},
                "outcomes": {key: {d: outcomes[key][d] for d in unsent[key]} for key in keys},
            }
        )
        for key in keys:
            self.sent.setdefault(key, set()).update(unsent[key])
        for job in jobs:
            reply = self._reply()
            if reason := reply.get("unusable"):
                task_id = problems[job.problem].task_id
                raise InputError(f"problem {task_id}: {reason}; expected check()")
            if digest := reply.get("digest"):
                self.sent[job.problem].add(digest)
                outcomes[job.problem][digest] = reply
            yield Outcome(Cause(reply["cause"]), reply["detail"], reply["cpu_s"])

    def _send(self, request: dict) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise WorkerLostError(_GONE) from None

    def _reply(self) -> dict:
        assert self.process is not None
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        while not self._lines:
            if not select.select([descriptor], [], [], 600 + 300 * self.pool.limits.cpu_s)[0]:
                raise WorkerLostError("it is silent")
            data = os.read(descriptor, 1 << 16)
            if not data:
                raise WorkerLostError(_GONE)
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._lines.extend(lines)
        reply = json.loads(self._lines.popleft())
        if "infra_error" in reply:
            raise InfraError(reply["infra_error"])
        return reply

    def terminate(self) -> None:
        """Asks the process to stop its sandboxes and exit."""
        if self.process is not None:
            self.process.terminate()

    def close(self) -> int:
        """Ends the process, by force if it must be; returns its exit status or minus a signal."""
        if self.process is None:
            return 0
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        for end in (self.process.terminate, self.process.kill):
            try:
                self.process.wait(timeout=10)
                break
            except subprocess.TimeoutExpired:
                end()
        status = self.process.wait()
        self.process = None
        shutil.rmtree(self.scratch or "", ignore_errors=True)
        return status


class _JobQueue:
    """Jobs still to do, in chunks of few problems.

    A worker keeps to its problem while there are jobs for it, so that a problem is prepared once
    and equal programs meet in one worker.
    """

    def __init__(self, jobs: Sequence[Job], workers: int):
        self._waiting: dict[str, collections.deque[Job]] = {}
        for job in jobs:
            self._waiting.setdefault(job.problem, collections.deque()).append(job)
        self._requeued: collections.deque[Job] = collections.deque()
        self._problem_of: dict[int, str] = {}  # by worker
        self._total = self._remaining = len(jobs)
        self._share, self._start = 4 * workers, time.monotonic()
        self._lock = threading.Lock()
        self.exhausted = threading.Event()

    def next_chunk(self, worker: int) -> list[Job]:
        """Returns the next jobs for a worker; none if nothing remains."""
        with self._lock:
            if self._requeued:
                return [self._requeued.popleft()]
            chunk: list[Job] = []
            max_jobs, size = min(_CHUNK, 1 + self._remaining // self._share), 0
            for _ in range(_CHUNK_PROBLEMS):
                if len(chunk) >= max_jobs or size >= _CHUNK_CHARACTERS:
                    break
                last = self._problem_of.pop(worker, "")
                problem = last if last in self._waiting else self._next_problem()
                if not problem:
                    break
                self._problem_of[worker] = problem
                waiting = self._waiting[problem]
                while waiting and len(chunk) < max_jobs and size < _CHUNK_CHARACTERS:
                    chunk.append(waiting.popleft())
                    size += len(chunk[-1].source)
                if not waiting:
                    del self._waiting[problem]
            self._remaining -= len(chunk)
            if not chunk:
                self.exhausted.set()
            return chunk

    def is_worth_another_worker(self) -> bool:
        """Whether the rest will take long, at the pace of what has been handed out."""
        with self._lock:
            spent_s = time.monotonic() - self._start
            done = self._total - self._remaining
            return self._remaining * spent_s > _MIN_REMAINING_S * done

    def _next_problem(self) -> str:
        """Returns a problem that no worker is at, if there is one."""
        busy = set(self._problem_of.values())
        return next((p for p in self._waiting if p not in busy), next(iter(self._waiting), ""))

    def requeue(self, jobs: Sequence[Job]) -> None:
        """Takes jobs back, to be handed out one by one, so that none can harm another."""
        with self._lock:
            self._requeued.extend(jobs)


class Pool:
    """Judges programs of `problems` on `workers` cores; equal programs run once.

    A context manager: at its end no process is left. Workers start when they are needed.
    """

    def __init__(
        self,
        problems: Mapping[str, records.Problem],
        *,
        sandbox: str,
        limits: Limits,
        workers: int,
    ):
        self.problems, self.sandbox, self.limits = dict(problems), sandbox, limits
        self.outcomes: dict[str, dict[str, dict]] = collections.defaultdict(dict)
        cores = sorted(os.sched_getaffinity(0))
        self._workers = [_Worker(self, cores[i % len(cores)]) for i in range(workers)]
        self._stopped = threading.Event()
        self._failures = 0
        self._sandbox_info: tuple[str, str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()

    def replace(self, problems: Mapping[str, records.Problem]) -> None:
        """Replaces problems by others of the same keys; nothing may be running."""
        self.problems |= problems
        for key in problems:
            self.outcomes.pop(key, None)
            for worker in self._workers:
                worker.sent.pop(key, None)

    def sandbox_info(self) -> tuple[str, str]:
        """Returns the names of the sandbox and of the Python in it; starts the first worker.

        Raises:
          InputError: no sandbox works here; the line says why and what to install.
        """
        if self._sandbox_info is None:
            reply = self._start_first()
            if "unusable" in reply:
                raise InputError(reply["unusable"])
            self.sandbox = reply["backend"]
            self._sandbox_info = reply["backend"], reply["python"]
        return self._sandbox_info

    def _start_first(self) -> dict:
        """Starts the first worker, which may be killed meanwhile; returns its sandbox.

        Raises:
          InputError: it ended at every try.
        """
        status = 0
        for _ in range(_ATTEMPTS):
            try:
                return self._workers[0].start()
            except WorkerLostError:
                status = self._workers[0].close()
        raise InputError(
            f"the judge's process ended {_ATTEMPTS} times as it started, with status {status}; its "
            "last messages say why; mend that, such as too little memory, and run again"
        )

    def judge(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yields outcomes as they come. Closing the iterator ends all processes.

        Raises:
          InputError: a problem can't be judged, or sandboxes no longer start.
        """
        jobs_left = _JobQueue(jobs, len(self._workers))
        finished: queue.SimpleQueue = queue.SimpleQueue()
        workers = self._workers[: len(jobs)]
        threads = [
            threading.Thread(target=self._serve, args=(jobs_left, finished, worker))
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
            self._stopped.set()
            jobs_left.exhausted.set()
            for worker in workers:
                worker.terminate()
            raise
        finally:
            for thread in threads:
                thread.join()

    def _serve(self, jobs_left: _JobQueue, finished: queue.SimpleQueue, worker: _Worker) -> None:
        try:
            if worker is not self._workers[0]:
                while not jobs_left.exhausted.wait(_MIN_REMAINING_S):
                    if jobs_left.is_worth_another_worker():
                        break
            while not self._stopped.is_set() and (chunk := jobs_left.next_chunk(id(worker))):
                for job_and_outcome in self._outcomes(worker, jobs_left, chunk):
                    finished.put(job_and_outcome)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            finished.put(error)
        finally:
            if worker is not self._workers[0]:  # it ends with this thread, which started it
                worker.close()
            finished.put(None)

    def _outcomes(
        self, worker: _Worker, jobs_left: _JobQueue, chunk: Sequence[Job]
    ) -> Iterator[tuple[Job, Outcome]]:
        """Yields a chunk's outcomes.

        If the worker is lost, the rest is queued again, job by job; a single job has three tries,
        and is to blame if the worker crashes each time.
        """
        done = 0
        for attempt in range(_ATTEMPTS):
            try:
                for outcome in worker.judge(chunk):
                    yield chunk[done], outcome
                    done += 1
                self._failures = 0
                return
            except (WorkerLostError, InfraError) as error:
                reason = error
                status = worker.close()
                if self._stopped.is_set():
                    return
            if len(chunk) > 1:
                jobs_left.requeue(chunk[done:])
                return
            if status == -signal.SIGXCPU:
                yield chunk[0], Outcome(Cause.TIME_LIMIT, "the test didn't end on its answers")
                return
            time.sleep(_PAUSE_S * attempt)
        yield chunk[0], self._outcome_of_failure(reason, status)

    def _outcome_of_failure(self, reason: Exception, status: int) -> Outcome:
        if -status in _CRASHES:
            detail = f"its answers crashed the judge {_ATTEMPTS} times"
            return Outcome(Cause.PROTOCOL_VIOLATION, detail)
        # Nobody had closed its input; 1 is the status after an error of ours.
        if str(reason) == _GONE and (status == 0 or status > 1):
            return Outcome(Cause.LEFT_OUT, f"{ENDS_JUDGE} with status {status}")
        self._failures += 1
        if self._failures >= _MAX_FAILURES_IN_A_ROW:
            raise InputError(f"sandboxes no longer start ({reason}); expected one; run again")
        return Outcome(Cause.INFRA_ERROR, str(reason)[:300])
