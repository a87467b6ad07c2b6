"""Judge processes, one a core, and the threads that feed them."""

import collections
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
import time
from collections.abc import Iterator, Mapping, Sequence

from codex_jax import InputError, records
from codex_jax.evaluate.sandbox.sandbox import Limits
from codex_jax.evaluate.verdicts import Cause, Outcome

_ATTEMPTS = 3
_PATIENCE = 3  # programs in a row without a verdict, before the run is given up
_CHUNK = 32  # programs that a judge is handed at once
_CHUNK_CHARACTERS = 1 << 20
_PAUSE_S = 1.0
_WORTH_S = 1.0  # that work must have lasted, and still last, for further judges to be worth it


@dataclasses.dataclass(frozen=True)
class Job:
    """A program for a problem, each named by its content; equal jobs are one."""

    problem: str
    source: str


class WorkerLostError(Exception):
    """The judge process died or fell silent."""


class InfraError(Exception):
    """The judge process lives, and says that sandboxes don't."""


class _Worker:
    """A judge process, spoken to in lines of JSON, and replaced when lost."""

    def __init__(self, pool: "Pool", core: int):
        self.pool, self.core = pool, core
        self.process: subprocess.Popen | None = None
        self.told: dict[str, set[str]] = {}  # problems it knows -> digests it knows outcomes of
        self._lines: collections.deque[bytes] = collections.deque()
        self._rest = b""

    def start(self) -> dict:
        """Which sandbox it has: {"backend": …, "python": …}."""
        settings = {
            "isolation": self.pool.isolation,
            "limits": self.pool.limits._asdict(),
            "core": self.core,
            "parent": os.getpid(),
        }
        root = str(pathlib.Path(__file__).parents[3])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.told, self._rest = {}, b""
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
        """Outcomes of jobs of one problem, in their order, each as soon as it is there.

        Raises:
          InputError: the problem can't be judged.
          WorkerLostError, InfraError: no more outcomes are to be had from this process.
        """
        if self.process is None:
            self.start()
        key, requests = jobs[0].problem, []
        unknown = key not in self.told
        problem = self.pool.problems[key]
        if unknown:
            requests.append({"do": "problem", "key": key, "problem": dataclasses.asdict(problem)})
        known = self.pool.known[key]
        news = {digest: known[digest] for digest in known.keys() - self.told.get(key, set())}
        sources = [job.source for job in jobs]
        self._send(*requests, {"do": "judge", "key": key, "sources": sources, "known": news})
        if unknown and (why := self._reply().get("unusable")):
            raise InputError(f"problem {problem.task_id}: {why}; expected check()")
        self.told.setdefault(key, set()).update(news)
        for _ in jobs:
            reply = self._reply()
            outcome = Outcome(Cause(reply["cause"]), reply["detail"], reply["cpu_s"])
            if digest := reply.get("digest"):
                self.told[key].add(digest)
                known[digest] = reply
            yield outcome

    def _send(self, *requests: dict) -> None:
        assert self.process is not None and self.process.stdin is not None
        text = "".join(json.dumps(request) + "\n" for request in requests)
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
        except OSError:
            raise WorkerLostError("it is gone") from None

    def _reply(self) -> dict:
        assert self.process is not None and self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        while not self._lines:
            if not select.select([descriptor], [], [], 60 + 30 * self.pool.limits.cpu_s)[0]:
                raise WorkerLostError("it is silent")
            data = os.read(descriptor, 1 << 16)
            if not data:
                raise WorkerLostError("it is gone")
            *whole, self._rest = (self._rest + data).split(b"\n")
            self._lines.extend(whole)
        reply = json.loads(self._lines.popleft())
        if "infra_error" in reply:
            raise InfraError(reply["infra_error"])
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


class _Pile:
    """Jobs still to do, dealt in chunks of one problem: a judge keeps to its problem while it
    lasts, so that it is made ready once, and equal programs meet in one place.
    """

    def __init__(self, jobs: Sequence[Job], workers: int):
        self._waiting: dict[str, collections.deque[Job]] = {}
        for job in jobs:
            self._waiting.setdefault(job.problem, collections.deque()).append(job)
        self._alone: collections.deque[Job] = collections.deque()
        self._busy: dict[int, str] = {}
        self._all = self._left = len(jobs)
        self._share, self._began = 4 * workers, time.monotonic()
        self._lock = threading.Lock()
        self.dealt = threading.Event()  # all that there was

    def deal(self, who: int) -> list[Job]:
        """The next chunk for a judge; empty where nothing is left."""
        with self._lock:
            if self._alone:
                return [self._alone.popleft()]
            last = self._busy.pop(who, "")
            problem = last if last in self._waiting else self._free()
            if not problem:
                self.dealt.set()
                return []
            self._busy[who] = problem
            waiting, chunk, size = self._waiting[problem], [], 0
            most = min(_CHUNK, 1 + self._left // self._share)
            while waiting and len(chunk) < most and size < _CHUNK_CHARACTERS:
                chunk.append(waiting.popleft())
                size += len(chunk[-1].source)
            if not waiting:
                del self._waiting[problem]
            self._left -= len(chunk)
            return chunk

    def is_long(self) -> bool:
        """Whether what is left will last, at the pace of what has been dealt."""
        with self._lock:
            spent_s = time.monotonic() - self._began
            return self._left * spent_s > _WORTH_S * (self._all - self._left)

    def _free(self) -> str:
        busy = set(self._busy.values())
        return next((p for p in self._waiting if p not in busy), next(iter(self._waiting), ""))

    def put_back(self, jobs: Sequence[Job]) -> None:
        """These are dealt one by one, so that one among them can't harm the others."""
        with self._lock:
            self._alone.extend(jobs)


class Pool:
    """Judges programs of `problems` on `workers` cores; equal programs run once.

    A context manager: at its end no process is left.
    """

    def __init__(
        self,
        problems: Mapping[str, records.Problem],
        *,
        isolation: str,
        limits: Limits,
        workers: int,
    ):
        self.problems, self.isolation, self.limits = problems, isolation, limits
        self.known: dict[str, dict[str, dict]] = collections.defaultdict(dict)
        cores = sorted(os.sched_getaffinity(0))
        self._workers = [_Worker(self, cores[i % len(cores)]) for i in range(workers)]
        self._stopped = threading.Event()
        self._failures = 0
        self._kind: tuple[str, str] | None = None

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()

    def kind(self) -> tuple[str, str]:
        """The names of the sandbox and of the Python within; the first judge starts for it.

        Raises:
          InputError: no sandbox works here; the line says why and what to install.
        """
        if self._kind is None:
            told = self._workers[0].start()
            if "unusable" in told:
                raise InputError(told["unusable"])
            self.isolation, self._kind = told["backend"], (told["backend"], told["python"])
        return self._kind

    def judge(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Outcomes in the order they come. Closing the iterator ends all processes.

        Raises:
          InputError: a problem can't be judged, or sandboxes no longer start.
        """
        pile = _Pile(jobs, len(self._workers))
        finished: queue.SimpleQueue = queue.SimpleQueue()
        workers = self._workers[: len(jobs)]
        threads = [
            threading.Thread(target=self._serve, args=(pile, finished, worker))
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
            pile.dealt.set()
            for worker in workers:
                worker.terminate()
            raise
        finally:
            for thread in threads:
                thread.join()

    def _serve(self, pile: _Pile, finished: queue.SimpleQueue, worker: _Worker) -> None:
        try:
            if worker is not self._workers[0]:
                while not pile.dealt.wait(_WORTH_S) and not pile.is_long():
                    pass
            while not self._stopped.is_set() and (chunk := pile.deal(id(worker))):
                for found in self._outcomes(worker, pile, chunk):
                    finished.put(found)
        except BaseException as error:
            finished.put(error)
        finally:
            worker.close()
            finished.put(None)

    def _outcomes(
        self, worker: _Worker, pile: _Pile, chunk: Sequence[Job]
    ) -> Iterator[tuple[Job, Outcome]]:
        """A chunk's outcomes. Where the judge is lost half-way, the rest goes back on the pile; a
        job alone has three tries, and what brings the judge down each time did so itself.
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
                why = error
                worker.close()
                if self._stopped.is_set():
                    return
            if len(chunk) > 1:
                pile.put_back(chunk[done:])
                return
            time.sleep(_PAUSE_S * attempt)
        yield chunk[0], self._without_verdict(why)

    def _without_verdict(self, why: Exception) -> Outcome:
        if isinstance(why, WorkerLostError):
            detail = f"its answers brought the judge down {_ATTEMPTS} times"
            return Outcome(Cause.PROTOCOL_VIOLATION, detail)
        self._failures += 1
        if self._failures >= _PATIENCE:
            raise InputError(f"sandboxes no longer start ({why}); expected one; run again")
        return Outcome(Cause.INFRA_ERROR, str(why)[:300])
