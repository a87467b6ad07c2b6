"""Training: from batches to checkpoints. Begin to read here."""

import contextlib
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import jax

from codex_jax import InputError, files, progress
from codex_jax.checkpoint import OWN_FILES, Card, Checkpoints, FolderLock, Retention
from codex_jax.model import DecoderConfig
from codex_jax.records import Batch
from codex_jax.remote.mirror import Mirror
from codex_jax.remote.paths import is_remote
from codex_jax.sharding import MeshShape
from codex_jax.train.batches import Batches, host_rows, on_global_batches
from codex_jax.train.compute import Compute, jit_step
from codex_jax.train.early_stopping import LossHistory
from codex_jax.train.initialization import Source, select_model
from codex_jax.train.job import Job, make_job
from codex_jax.train.lora import Lora, attach
from codex_jax.train.metrics import Metrics
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.preemption import Preempted, PreemptionNotice
from codex_jax.train.resume import Beginning, restore_or_init, split_names
from codex_jax.train.setting_ranges import check_ranges
from codex_jax.train.stability import Stability
from codex_jax.train.state import TrainState
from codex_jax.train.validation import Evaluate, TaskMetrics, Validation, make_evaluate

_METRICS_FILES = {
    "metrics.jsonl": files.has_json_keys("step", lines=True),
    "events.out.tfevents.*": files.has_text("brain.Event"),
}

_RECORDS = r"[^/]*\.jsonl|events\.out\.tfevents\.[^/]*"


def train(
    *,
    batches: Batches,
    model: DecoderConfig | None = None,
    checkpoint_dir: str,
    steps: int,
    optimizer: Optimizer = Optimizer(),
    mesh: MeshShape = MeshShape(),
    compute: Compute = Compute(),
    init_from: str = "",
    init_step: int | None = None,
    lora: Lora = Lora(),
    validation: Validation = Validation(),
    task_metrics: TaskMetrics | None = None,
    stability: Stability = Stability(),
    resume_with: Sequence[str] | str = (),
    seed: int = 0,
    log_every: int = 10,
    save_every: int = 200,
    retention: Retention = Retention(),
    operative_config: str = "",
) -> dict[str, Any]:
    """Trains a decoder, or resumes from its newest checkpoint; returns the last step's metrics.

    Args:
      batches: The packed rows; batch n is a pure function of (fingerprint, seed, n).
      model: The decoder; unset, the checkpoint's that is continued, or init_from's.
      checkpoint_dir: Directory of the checkpoints and metrics.jsonl.
      steps: Optimizer steps of the whole run.
      optimizer: The optimizer and its schedule.
      mesh: Devices along each mesh axis.
      compute: Precision and memory savers.
      init_from: Directory of a checkpoint with the weights to begin with; all else begins anew.
      init_step: Step of that checkpoint; default: the newest.
      lora: Narrow matrices that are trained beside init_from's weights, which then stay.
      validation: Evaluations on the rows of the validation split, where the data has any.
      task_metrics: Metric functions of seqio Tasks, computed in every evaluation.
      stability: Response to steps that would harm the model.
      resume_with: Names, as in "learning_rate,steps", that change from the newest checkpoint on.
      seed: Of the initial weights.
      log_every: Steps between lines on the screen.
      save_every: Steps between checkpoints.
      retention: Checkpoints that are kept.
      operative_config: The configuration's text, for the card.

    Raises:
      InputError: settings that don't fit one another, or the newest checkpoint.
      Preempted: SIGTERM came; the step that it names is saved, and the exit status is 75.
    """
    check_ranges(dict(locals()))
    _claim_directory(checkpoint_dir)
    changes, source = split_names(resume_with), Source(init_from, init_step)
    model = select_model(model, checkpoint_dir, source, batches)
    configs = (optimizer, mesh, compute, stability, lora, {"steps": steps, "seed": seed})
    job = make_job(batches, model, source, *configs, operative_config)
    evaluate = make_evaluate(batches, model, compute, job.mesh, validation, task_metrics)
    _check_best(retention, evaluate, save_every, validation)
    schedule = LoopSchedule(steps, log_every, save_every, validation.every)
    patience = validation.early_stopping_patience
    return _run_locked(job, checkpoint_dir, retention, changes, schedule, evaluate, patience)


def _run_locked(
    job: Job,
    checkpoint_dir: str,
    retention: Retention,
    changes: Sequence[str],
    schedule: "LoopSchedule",
    evaluate: Evaluate | None,
    patience: int,
) -> dict[str, Any]:
    """Runs a job in its directory, from its newest checkpoint if there is one."""
    with FolderLock(checkpoint_dir) as lock, Checkpoints(checkpoint_dir, retention) as checkpoints:
        begin = restore_or_init(checkpoints, job, changes)
        history = LossHistory(begin.card.validation_losses, patience)
        last = _run_job(job, begin, checkpoints, lock, schedule, evaluate, history)
    _print_end(history, retention)
    return last


def _claim_directory(checkpoint_dir: str) -> None:
    files.claim_folder(checkpoint_dir, OWN_FILES | _METRICS_FILES, "checkpoint_dir")


def _check_best(
    retention: Retention, evaluate: Evaluate | None, save_every: int, validation: Validation
) -> None:
    """Refuses what needs a validation loss where there is none."""
    if validation.early_stopping_patience and evaluate is None:
        raise InputError(
            "early_stopping_patience needs a validation loss; set rows to ones with a validation "
            "split, or early_stopping_patience to 0"
        )
    if retention.keep_best and (evaluate is None or save_every % validation.every):
        raise InputError(
            "keep_best needs a validation loss at each checkpoint; set rows to ones with a "
            "validation split, and save_every to a multiple of Validation.every"
        )


def _run_job(
    job: Job,
    begin: Beginning,
    checkpoints: Checkpoints,
    lock: FolderLock,
    schedule: "LoopSchedule",
    evaluate: Evaluate | None,
    history: LossHistory,
) -> dict[str, Any]:
    """Runs a job from its beginning on; returns the last step's metrics."""
    rows = job.batches.batches(begin.step, host_rows(job.mesh, job.batches))
    step, evaluate = _bind_base(job, begin.base, evaluate)
    with PreemptionNotice() as notice, _open_records(checkpoints) as (folder, upload):
        metrics = Metrics(folder / "metrics.jsonl", start=begin.step, stability=job.stability)
        last = run(
            schedule,
            begin.step,
            begin.state,
            step,
            rows,
            metrics,
            notice,
            save=_saver(checkpoints, lock, begin.card, history, upload),
            evaluate=evaluate,
            history=history,
        )
        checkpoints.finish()
    is_done = last == schedule.steps or history.is_over
    return metrics.last if is_done else _stop_preempted(last)


def _bind_base(job: Job, base: Any, evaluate: Evaluate | None) -> tuple[Callable, Evaluate | None]:
    """Returns step(state, batch) and evaluate(params) of what is trained beside a base, if any."""
    compiled = jit_step(job.model, job.tx, job.compute, job.mesh, lora=job.lora)
    if base is None:
        return on_global_batches(compiled, job.mesh, job.batches), evaluate

    def take_step(state: TrainState, batch: Batch) -> Any:
        return compiled(state, batch, base)

    def evaluate_all(params: Any) -> dict[str, float]:
        assert evaluate is not None
        return evaluate(attach(base, params, job.lora.scale))

    return on_global_batches(take_step, job.mesh, job.batches), evaluate and evaluate_all


def _print_end(history: LossHistory, retention: Retention) -> None:
    """Says why a run ended early, and which of its checkpoints is the best."""
    stop = "early stop: the validation loss no longer falls; " if history.is_over else ""
    if stop or (retention.keep_best and history.best):
        print(f"{stop}{history.describe_best()}; sample its checkpoint with --step")


@contextlib.contextmanager
def _open_records(checkpoints: Checkpoints) -> Iterator[tuple[pathlib.Path, Callable[[], None]]]:
    """Yields the local folder of what a run appends to, and a function that uploads it.

    The folder is that of the checkpoints or, where they are in a bucket, its mirror.
    """
    if not is_remote(checkpoints.directory):
        yield pathlib.Path(checkpoints.directory), lambda: None
    elif jax.process_index() > 0:
        yield pathlib.Path(), lambda: None  # process 0 alone writes
    else:
        is_read = lambda name: name.endswith(".jsonl")  # noqa: E731
        with Mirror(str(checkpoints.directory), _RECORDS, fetches=is_read) as mirror:
            yield mirror.root, mirror.push


def _stop_preempted(step: int) -> NoReturn:
    message = f"preempted: step {step} is saved; run the same command again to go on"
    print(message, file=sys.stderr)
    raise Preempted(step)


class LoopSchedule(NamedTuple):
    """Last step of a run; steps between log lines, checkpoints and evaluations."""

    steps: int
    log_every: int
    save_every: int
    validate_every: int


def run(
    schedule: LoopSchedule,
    start: int,
    state: TrainState,
    take_step: Callable,
    rows: Iterator[Batch],
    metrics: Metrics,
    notice: PreemptionNotice,
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
    with progress.bar(desc="train", total=steps, unit="step", done=start) as bar:
        for step in range(start, steps + 1):
            is_preempted = step < steps and notice.is_due(step)
            is_validated = step > start and is_due(step, schedule.validate_every, steps)
            if evaluate and is_validated and not is_preempted:
                values = metrics.extend(functools.partial(evaluate, state.params))
                if "validation/loss" in values:
                    history.add(step, values["validation/loss"])
            is_last = is_preempted or history.is_over
            is_saved = is_last or is_due(step, schedule.save_every, steps)
            is_logged = is_saved or is_due(step, schedule.log_every, steps)
            if is_logged and (line := metrics.flush()):
                rate = line["tokens"] / line["seconds"]
                bar.set_postfix_str(f"loss {line['loss']:.3f}, {rate:.0f} tokens/s")
            if is_saved:  # the metrics of all steps before it are judged by now
                save(step, state, metrics.last.get("validation/loss"))
            if is_last:
                return step
            if step < steps:
                state, values = take_step(state, metrics.next_batch(rows))
                metrics.add(step, values)
                bar.update()
    return steps


def is_due(step: int, every: int, last: int) -> bool:
    """Whether `step` is a positive multiple of `every`, or the last one."""
    return step == last or (step > 0 and step % every == 0)


def _saver(
    checkpoints: Checkpoints,
    lock: FolderLock,
    card: Card,
    history: LossHistory,
    upload: Callable[[], None],
) -> Callable[[int, TrainState, float | None], None]:
    def save(step: int, state: TrainState, validation_loss: float | None) -> None:
        lock.check()
        upload()  # a checkpoint's steps are in the metrics
        if step != checkpoints.latest:
            rest = state._replace(params=None)
            full = dataclasses.replace(card, validation_losses=history.to_json())
            checkpoints.save(step, state.params, rest, full, validation_loss=validation_loss)

    return save
