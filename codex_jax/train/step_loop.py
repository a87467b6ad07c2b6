"""The loop over steps: logs, evaluations, saves, profiles, and a preemption's end."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from codex_jax import progress
from codex_jax.host_runtime import limit_kept_pages
from codex_jax.hosts import Watch
from codex_jax.records import Batch
from codex_jax.train.early_stopping import LossHistory
from codex_jax.train.metrics import Metrics
from codex_jax.train.preemption import PreemptionNotice
from codex_jax.train.profiler import Profiler
from codex_jax.train.state import TrainState
from codex_jax.train.validation import Evaluate


class LoopSchedule(NamedTuple):
    """Last step of a run; steps between log lines, checkpoints and evaluations.

    `patience` is the number of evaluations without a lowest loss that end it; 0 doesn't.
    """

    steps: int
    log_every: int
    save_every: int
    validate_every: int
    patience: int = 0


class Instruments(NamedTuple):
    """Observers of the loop."""

    metrics: Metrics
    watch: Watch
    notice: PreemptionNotice
    profiler: Profiler


def run_steps(
    schedule: LoopSchedule,
    start: int,
    state: TrainState,
    take_step: Callable,
    rows: Iterator[Batch],
    instruments: Instruments,
    *,
    save: Callable,
    evaluate: Evaluate | None = None,
    history: LossHistory | None = None,
) -> int:
    """Runs the loop; an extra iteration after the last step logs and saves its result.

    Returns:
      The steps taken: fewer than the schedule's after a preemption notice or at an early stop,
      which save at once.
    """
    steps, history = schedule.steps, history or LossHistory()
    if history.is_over:
        return start
    metrics, watch, notice, profiler = instruments
    with (
        progress.bar(desc="train", total=steps, unit="step", done=start) as bar,
        watch.during("the loop"),
        contextlib.closing(profiler),
    ):
        for step in range(start, steps + 1):
            is_preempted = step < steps and notice.is_due(step)
            is_validated = step > start and is_due(step, schedule.validate_every, steps)
            if evaluate and is_validated and not is_preempted:
                with _together(watch, f"evaluation of step {step}"):
                    further = metrics.extend(functools.partial(evaluate, state.params))
                history.add(step, further)
            is_last = is_preempted or history.is_over
            is_saved = is_last or is_due(step, schedule.save_every, steps)
            is_logged = is_saved or is_due(step, schedule.log_every, steps)
            if is_logged and (line := metrics.flush()):
                rate = line["tokens"] / line["seconds"]
                bar.set_postfix_str(f"loss {line['loss']:.3f}, {rate:.0f} tokens/s")
            if is_saved:  # the metrics of all steps before it are judged by now
                loss = metrics.last.get("validation/loss")
                with _together(watch, f"save of step {step}"), metrics.measure("save", step=step):
                    save(step, state, loss)
            if is_last:
                return step
            if step < steps:
                profiler.look(step, metrics.pending)
                with watch.during(f"the batch of step {step}"):
                    batch = metrics.next_batch(rows)
                with _first(instruments, step == start):
                    state, values = take_step(state, batch)
                metrics.add(step, values)
                watch.add_step(step, values)
                limit_memory(values)
                bar.update()
    return steps


@contextlib.contextmanager
def _together(watch: Watch, name: str) -> Iterator[None]:
    """Waits for all processes before a block, and names it."""
    watch.barrier(name)
    with watch.during(f"the {name}"):
        yield


@contextlib.contextmanager
def _first(instruments: Instruments, is_first: bool) -> Iterator[None]:
    """Measures the first call of the step, which compiles it."""
    if is_first:
        with instruments.watch.during("the compilation"), instruments.metrics.measure("compile"):
            yield
    else:
        yield


def limit_memory(results: Any) -> None:
    """Waits for a step's results on a CPU; see `limit_kept_pages` for what it then does."""
    if jax.default_backend() == "cpu":
        jax.block_until_ready(results)
        limit_kept_pages()


def is_due(step: int, every: int, last: int) -> bool:
    """Whether `step` is a positive multiple of `every`, or the last one."""
    return step == last or (step > 0 and step % every == 0)
