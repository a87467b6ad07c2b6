"""Training: from batches to checkpoints. Begin to read here."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import jax

from codex_jax import InputError, files, hosts
from codex_jax.checkpoint import OWN_FILES, Card, Checkpoints, FolderLock, Retention
from codex_jax.hosts import HostLimits, Watch
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape
from codex_jax.train.batches import Batches, host_rows, on_global_batches
from codex_jax.train.compute import Compute, jit_step
from codex_jax.train.early_stopping import LossHistory
from codex_jax.train.facts import run_facts
from codex_jax.train.initialization import Source, select_model
from codex_jax.train.job import Job, make_job
from codex_jax.train.lora import Lora, attach
from codex_jax.train.metrics import Metrics
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.preemption import Preempted, PreemptionNotice
from codex_jax.train.profiler import Profiler
from codex_jax.train.resume import restore_or_init, split_names
from codex_jax.train.run_events import RunEvents
from codex_jax.train.run_records import RECORDS, open_records
from codex_jax.train.runtime import Runtime
from codex_jax.train.setting_ranges import check_ranges
from codex_jax.train.stability import Stability
from codex_jax.train.state import TrainState
from codex_jax.train.step_loop import Instruments, LoopSchedule, run_steps
from codex_jax.train.throughput import Throughput
from codex_jax.train.validation import Evaluate, TaskMetrics, Validation, make_evaluate


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
    host_limits: HostLimits = HostLimits(),
    runtime: Runtime = Runtime(),
    operative_config: str = "",
) -> dict[str, Any]:
    """Trains a decoder, or resumes from its newest checkpoint; returns the last step's metrics.

    Args:
      batches: The packed rows; batch n is a pure function of (fingerprint, seed, n).
      model: The decoder; unset, the checkpoint's that is continued, or init_from's.
      checkpoint_dir: Directory of the checkpoints, metrics.jsonl and events.jsonl.
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
      host_limits: Patience with the other processes.
      runtime: Compiled programs that are kept, and profiles.
      operative_config: The configuration's text, for the card.

    Raises:
      InputError: settings that don't fit one another, the newest checkpoint, or other hosts'.
      Preempted: SIGTERM came; the step that it names is saved, and the exit status is 75.
    """
    check_ranges(arguments := dict(locals()))
    with _watch_directory(checkpoint_dir, host_limits, runtime) as watch:
        changes, source = split_names(resume_with), Source(init_from, init_step)
        model = select_model(model, checkpoint_dir, source, batches)
        configs = (optimizer, mesh, compute, stability, {"steps": steps, "seed": seed})
        job = make_job(batches, model, source, *configs, operative_config, lora)
        return _run_owned(job, arguments, watch, changes)


@contextlib.contextmanager
def _watch_directory(
    checkpoint_dir: str, host_limits: HostLimits, runtime: Runtime
) -> Iterator[Watch]:
    """Watches the hosts of a run within a block, after a look at its directory."""
    runtime.apply()
    with Watch(host_limits) as watch:
        claim_directory(checkpoint_dir)
        yield watch


def _run_owned(
    job: Job,
    arguments: Mapping[str, Any],
    watch: Watch,
    changes: Sequence[str],
) -> dict[str, Any]:
    """Runs a job where all hosts agree, as the owner of a directory that all share."""
    directory, retention = arguments["checkpoint_dir"], arguments["retention"]
    schedule, evaluate = plan(job, arguments)
    hosts.agree(watch, lambda: run_facts(job, arguments))
    with FolderLock(directory) as lock:
        hosts.check_shared(watch, lock.path, lock.token, "checkpoint_dir")
        with Checkpoints(directory, retention, hosts.tell_stop) as checkpoints:
            run = (checkpoints, lock, watch, arguments["runtime"].profile_steps)
            last, history = _run_job(arguments["batches"], job, *run, schedule, evaluate, changes)
    watch.barrier("exit")
    if jax.process_index() == 0:
        _print_end(history, retention)
    return last


def plan(job: Job, arguments: Mapping[str, Any]) -> tuple[LoopSchedule, Evaluate | None]:
    """Returns a run's schedule, and its evaluations if there are any.

    Args:
      job: The run's.
      arguments: train's.

    Raises:
      InputError: settings that need a validation loss where there is none.
    """
    validation, batches = arguments["validation"], arguments["batches"]
    options = (job.model, job.compute, job.mesh, validation, arguments["task_metrics"])
    evaluate = make_evaluate(batches, *options)
    steps, log_every, save_every = (arguments[n] for n in ("steps", "log_every", "save_every"))
    every, patience = validation.every, validation.early_stopping_patience
    schedule = LoopSchedule(steps, log_every, save_every, every, patience)
    _check_best(arguments["retention"], evaluate, schedule)
    return schedule, evaluate


def _print_end(history: LossHistory, retention: Retention) -> None:
    """Says why a run ended early, and which of its checkpoints is the best."""
    stop = "early stop: the validation loss no longer falls; " if history.is_over else ""
    if stop or (retention.keep_best and history.best):
        print(f"{stop}{history.describe_best()}; sample its checkpoint with --step")


def claim_directory(checkpoint_dir: str) -> None:
    """Refuses a checkpoint_dir that isn't a run's folder of its own."""
    files.claim_folder(checkpoint_dir, OWN_FILES | RECORDS, "checkpoint_dir")


def _check_best(retention: Retention, evaluate: Evaluate | None, schedule: LoopSchedule) -> None:
    """Refuses what needs a validation loss where there is none."""
    if schedule.patience and evaluate is None:
        raise InputError(
            "early_stopping_patience needs a validation loss; set rows to ones with a validation "
            "split, or early_stopping_patience to 0"
        )
    is_compared = evaluate is not None and schedule.save_every % schedule.validate_every == 0
    if retention.keep_best and not is_compared:
        raise InputError(
            "keep_best needs a validation loss at each checkpoint; set rows to ones with a "
            "validation split, and save_every to a multiple of Validation.every"
        )


def _run_job(
    batches: Batches,
    job: Job,
    checkpoints: Checkpoints,
    lock: FolderLock,
    watch: Watch,
    profile_steps: int,
    schedule: LoopSchedule,
    evaluate: Evaluate | None,
    changes: Sequence[str],
) -> tuple[dict[str, Any], LossHistory]:
    """Runs a job from its newest checkpoint on; returns the last step's metrics, and all losses."""
    is_over = checkpoints.latest == schedule.steps
    with (
        open_records(checkpoints.directory) as (folder, upload),
        RunEvents(folder, is_over=is_over) as events,
    ):
        with watch.during("the restore"), events.measure("restore") as fields:
            begin = restore_or_init(checkpoints, job, changes)
            fields["step"] = begin.step
            jax.block_until_ready(begin.state)
        events.write_lost_work()
        watch.barrier("restored")
        metrics = Metrics(
            folder / "metrics.jsonl",
            start=begin.step,
            stability=job.stability,
            events=events,
            rates=Throughput(job.model, batches, job.mesh).rates,
        )
        history = LossHistory(begin.card.validation_losses, schedule.patience)
        take_step, evaluate = _bind_base(job, begin.base, evaluate)
        with PreemptionNotice() as notice:
            last = run_steps(
                schedule,
                begin.step,
                begin.state,
                on_global_batches(take_step, job.mesh, batches),
                batches.batches(begin.step, host_rows(job.mesh, batches)),
                Instruments(metrics, watch, notice, Profiler(folder, profile_steps)),
                save=make_saver(checkpoints, lock, begin.card, upload, history),
                evaluate=evaluate,
                history=history,
            )
            with watch.during("the last save"), events.measure("save", step=last):
                checkpoints.finish()
        is_done = last == schedule.steps or history.is_over
        return (metrics.last if is_done else stop_preempted(last)), history


def _bind_base(job: Job, base: Any, evaluate: Evaluate | None) -> tuple[Callable, Evaluate | None]:
    """Returns step(state, batch) and evaluate(params) of what is trained beside a base, if any."""
    compiled = jit_step(job.model, job.tx, job.compute, job.mesh, job.rate, lora=job.lora)
    if base is None:
        return compiled, evaluate

    def evaluate_all(params: Any) -> dict[str, float]:
        assert evaluate is not None
        return evaluate(attach(base, params, job.lora.scale))

    return lambda state, batch: compiled(state, batch, base), evaluate and evaluate_all


def stop_preempted(step: int) -> NoReturn:
    """Ends the process after a preemption notice; the step is saved."""
    message = f"preempted: step {step} is saved; run the same command again to go on"
    print(message, file=sys.stderr)
    raise Preempted(step)


def make_saver(
    checkpoints: Checkpoints,
    lock: FolderLock,
    card: Card,
    upload: Callable[[], None],
    history: LossHistory | None = None,
) -> Callable[[int, TrainState, float | None], None]:
    """Returns save(step, state, validation loss), which leaves a step that is saved alone."""

    def save(step: int, state: TrainState, validation_loss: float | None) -> None:
        lock.check()
        upload()  # a checkpoint's steps are in the metrics
        if step != checkpoints.latest:
            rest = state._replace(params=None)
            losses = history.to_json() if history else []
            full = dataclasses.replace(card, validation_losses=losses)
            checkpoints.save(step, state.params, rest, full, validation_loss=validation_loss)

    return save
