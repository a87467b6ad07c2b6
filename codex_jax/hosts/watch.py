"""A watch over a run: processes that are lost, hang or stop, and steps that take too long."""

import contextlib
import dataclasses
import queue
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import jax

from codex_jax import InputError
from codex_jax.hosts.ending import leave
from codex_jax.hosts.peers import BarrierError, Peers, tell_stop

_GRACE_S = 15.0  # in which processes may end by themselves after one of them stopped
START_FACTOR = 5  # of lost_after_s, until a process comes
_LEAST_SLOW_S = 1.0  # shorter steps of a single process are never slow
_STEPS_BEFORE_SLOW = 5  # whose median says little yet


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostLimits:
    """Patience with the other processes of a run.

    Args:
      lost_after_s: Seconds without a sign of life after which a process is lost, and the others
        end with exit status 69.
      timeout_s: Seconds that a step, a barrier, an evaluation or a restore may take while all
        processes live; then they end with status 69.
      slow_factor: A step of more than this many times the median is named on stderr; 0 is off.
    """

    lost_after_s: float = 60.0
    timeout_s: float = 3600.0
    slow_factor: float = 10.0


@dataclasses.dataclass
class _Steps:
    """Steps under way on the devices, and the seconds of the latest finished ones."""

    started: dict[int, float] = dataclasses.field(default_factory=dict)
    finished: float = 0.0
    seconds: list[float] = dataclasses.field(default_factory=list)

    def first(self) -> tuple[int, float] | None:
        """(step, when it began) of the step that is under way."""
        with contextlib.suppress(StopIteration, RuntimeError):  # changed by another thread
            step, started = next(iter(self.started.items()))
            return step, max(started, self.finished)
        return None

    def finish(self, step: int) -> None:
        """Ends a step."""
        now = time.monotonic()
        self.seconds = [*self.seconds[-99:], now - max(self.started[step], self.finished)]
        self.finished = now
        del self.started[step]


class Watch:
    """Watches the processes of a run within a `with` block.

    Every process publishes that it lives and its activity; one thread exchanges these, another
    judges them, so that a coordinator that is silent is noticed, too. A process whose error ends
    the block tells the others why.
    """

    def __init__(
        self,
        limits: HostLimits = HostLimits(),
        peers: Peers | None = None,
        end: Callable[[str], Any] = leave,
    ):
        """Begins nothing yet.

        Args:
          limits: See HostLimits.
          peers: The processes; by default those that jax.distributed joined.
          end: Ends the process, with a sentence.
        """
        self.peers = peers or Peers.connected()
        self.limits = limits
        self._end = end
        self._interval = min(5.0, limits.lost_after_s / 10)
        self._ended = threading.Event()
        self._activity = ("the start", time.monotonic())
        self._failed = ""  # the activity in which an error came
        self._steps = _Steps()
        self._queue: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        now = time.monotonic()
        self._heard = dict.fromkeys(range(self.peers.count), now)  # process → its last sign of life
        self._beats: dict[int, str] = {}
        self._stops: dict[int, str] = {}
        self._stopped_at = 0.0
        self._named_step = -1

    def __enter__(self) -> "Watch":  # noqa: PYI034  beartype refuses Self here
        loops = [self._follow_steps, self._judge_always]
        loops += [self._exchange_always] * (self.peers.count > 1)
        for loop in loops:
            threading.Thread(target=loop, daemon=True, name=f"watch {loop.__name__}").start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        try:
            if error is not None and self.peers.count > 1:
                self._share(error)
        finally:
            self._ended.set()
            self._queue.put(None)

    def _share(self, error: BaseException) -> None:
        """Tells the others why this process stops; first lets a lost one be named."""
        text = " ".join(str(error).split())
        is_own = isinstance(error, InputError) or "RESOURCE_EXHAUSTED" in text
        if isinstance(error, RuntimeError | ValueError) and not is_own:
            # A collective fails on all processes when one is gone: the watch finds out which.
            with self.during(f"{self._failed or self.describe()}, which failed ({text:.120})"):
                self._ended.wait(3 * self.limits.lost_after_s)
        if not isinstance(error, SystemExit):
            tell_stop(error)

    @contextlib.contextmanager
    def during(self, name: str) -> Iterator[None]:
        """Names the activity of a block, which may take timeout_s."""
        former, self._activity = self._activity[0], (name, time.monotonic())
        try:
            yield
        except Exception:
            self._failed = self._failed or self.describe()
            raise
        finally:
            self._activity = (former, time.monotonic())

    def barrier(self, name: str) -> None:
        """Waits for all processes; ends this one with their names if some don't come."""
        with self.during(f"barrier {name!r}"):
            try:
                self.peers.wait(name, self.limits.timeout_s)
            except BarrierError as error:
                self._end(self._explain_absence(error))

    def exchange(self, subject: str, text: str) -> list[str]:
        """Returns the texts of all processes on a subject, like `barrier`."""
        with self.during(f"barrier {subject!r}"):
            try:
                return self.peers.exchange(subject, text, self.limits.timeout_s)
            except BarrierError as error:
                self._end(self._explain_absence(error))
                raise

    def _explain_absence(self, error: BarrierError) -> str:
        where = "; ".join(self._place(n) for n in error.absent) or "the coordinator fails"
        return f"barrier {error} wasn't reached in {self.limits.timeout_s:g} s: {where}"

    def add_step(self, step: int, values: Any) -> None:
        """Adds a step that the devices compute; `values` are some of its results."""
        self._steps.started[step] = time.monotonic()
        self._queue.put((step, values))

    def describe(self) -> str:
        """Returns what this process is at."""
        return self._present()[0]

    def _present(self) -> tuple[str, float]:
        """(activity, when it began)."""
        name, since = self._activity
        if name == "the loop" and (under_way := self._steps.first()):
            return f"step {under_way[0]}", under_way[1]
        return name, since

    def _follow_steps(self) -> None:
        while item := self._queue.get():
            step, values = item
            with contextlib.suppress(jax.errors.JaxRuntimeError):  # the loop raises it, too
                jax.block_until_ready(values)
            del item, values
            self._steps.finish(step)

    def _exchange_always(self) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            try:
                self.peers.publish("beat", f"{number} {self.describe()}")
                self._update(self.peers.read("beat"), self.peers.read_stops())
            except jax.errors.JaxRuntimeError:
                pass  # process 0 is silent: judged by the time
            self._ended.wait(self._interval)

    def _update(self, beats: dict[int, str], stops: dict[int, str]) -> None:
        now = time.monotonic()
        self._heard[self.peers.index] = now
        for process, beat in beats.items():
            if beat != self._beats.get(process):
                self._heard[process] = now
        self._beats = beats
        if stops and not self._stops:
            self._stopped_at = now
        self._stops = stops

    def _judge_always(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(self._interval):
            now = time.monotonic()
            if (
                now - last > self.limits.lost_after_s / 2
            ):  # this process slept: that says nothing of others
                self._heard = dict.fromkeys(self._heard, now)
            last = now
            if sentence := self.judge(now):
                self._end(sentence)
            self._name_slow_step(now)

    def judge(self, now: float) -> str:
        """Returns why this process must end; empty while it need not."""
        name, since = self._present()
        limits = self.limits
        if self.peers.count > 1:
            if self._stops and now - self._stopped_at > _GRACE_S:
                return self._explain_stops()
            silent = [n for n, heard in self._heard.items() if now - heard > self._patience(n)]
            if self.peers.index in silent:
                return (
                    f"process 0, which coordinates all, didn't answer for {limits.lost_after_s:g} "
                    f"s, during {name}; it is dead, stopped, or cut off from this host"
                )
            if silent:
                where = "; ".join(self._place(n) for n in silent)
                return (
                    f"no sign of life for {limits.lost_after_s:g} s, during {name}: {where}; dead, "
                    "stopped, or cut off"
                )
        if self.peers.count > 1 and now - since > limits.timeout_s:
            where = "; ".join(self._place(n) for n in self._behind()) or "all are there"
            return f"{name} takes more than {limits.timeout_s:g} s: {where}"
        return ""

    def _patience(self, process: int) -> float:
        """Seconds after which a silent process is lost; more before it has opened its data."""
        has_come = process in self._beats or process == self.peers.index
        return self.limits.lost_after_s * (1 if has_come else START_FACTOR)

    def _explain_stops(self) -> str:
        process, text = min(self._stops.items())
        return f"process {process} stopped, and with it the run: {text}"

    def _place(self, process: int) -> str:
        beat = self._beats.get(process, "")
        return f"process {process} ({beat.partition(' ')[2] or 'never came'})"

    def _behind(self) -> list[int]:
        """Processes that are at something else than this one."""
        here = self.describe()
        beats = {n: self._beats.get(n, "").partition(" ")[2] for n in self.peers.others}
        return [n for n, activity in beats.items() if activity != here]

    def _name_slow_step(self, now: float) -> None:
        under_way, factor = self._steps.first(), self.limits.slow_factor
        if not under_way or not factor or len(self._steps.seconds) < _STEPS_BEFORE_SLOW:
            return
        step, since = under_way
        median, seconds = statistics.median(self._steps.seconds), now - since
        # By then the others' activities, which are sent at intervals, are those of this step.
        least = 3 * self._interval if self.peers.count > 1 else _LEAST_SLOW_S
        if step == self._named_step or seconds < max(factor * median, least):
            return
        self._named_step = step
        behind = self._behind() if self.peers.count > 1 else []
        where = f"; {'; '.join(map(self._place, behind))}" * bool(behind)
        print(
            f"step {step} takes {seconds:.1f} s so far, {seconds / median:.0f} × the median of "
            f"{median:.2g} s{where}",
            file=sys.stderr,
            flush=True,
        )
