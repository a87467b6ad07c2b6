"""The loop of `codex-jax rl`: batches of experience, steps, checkpoints, and reasons to stop."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from codex_jax import InputError, progress
from codex_jax.rl.experience import Collector, Experience
from codex_jax.rl.prompts import Prompts
from codex_jax.rl.rollout import Rollout
from codex_jax.rl.sampler import Sampler
from codex_jax.rl.watch import Watch, share_reason
from codex_jax.train.batches import host_rows, on_global_batches
from codex_jax.train.job import Job
from codex_jax.train.loop import stop_preempted
from codex_jax.train.metrics import Metrics
from codex_jax.train.policy_loss import PolicyBatch
from codex_jax.train.policy_step import jit_policy_step
from codex_jax.train.preemption import PreemptionNotice
from codex_jax.train.resume import Beginning
from codex_jax.train.state import TrainState
from codex_jax.train.step_loop import is_due, limit_memory


class Schedule(NamedTuple):
    """Last step of a run; batches between log lines and checkpoints."""

    steps: int
    log_every: int
    save_every: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A run's parts, made once."""

    job: Job
    prompts: Prompts
    rollout: Rollout
    sampler: Sampler
    collector: Collector
    watch: Watch
    save: Callable[[int, TrainState, float | None], None]
    schedule: Schedule

    def run(self, begin: Beginning, path: pathlib.Path) -> dict[str, Any]:
        """Runs batches to the last step; returns the last step's metrics.

        Raises:
          InputError: a rule stops the run, or the sandbox is down; the state is saved.
        """
        state, updates = begin.state, self.rollout.updates_per_batch
        batches = self.schedule.steps // updates
        metrics = Metrics(path, start=begin.step, stability=self.job.stability)
        if reason := share_reason(self.watch.reason()):
            raise InputError(f"stopped at step {begin.step}: {reason}")
        if begin.step >= self.schedule.steps:
            return metrics.last
        self.sampler.replace_params(state.params)
        self.sampler.warm_up(self.prompts.by_length)
        with (
            PreemptionNotice() as notice,
            progress.bar(desc="rl", total=batches, unit="batch", done=begin.step // updates) as bar,
        ):
            for batch in range(begin.step // updates, batches):
                if notice.is_due(batch):
                    self.save(batch * updates, state, None)
                    stop_preempted(batch * updates)
                state, line = self._run_batch(batch, state, metrics)
                limit_memory(state)
                bar.update()
                if is_due(batch + 1, self.schedule.log_every, batches):
                    bar.set_postfix_str(
                        f"reward {line['reward']:.3f}, shadow {line['shadow_reward']:.3f}, "
                        f"entropy {line['entropy']:.3f}"
                    )
                reason = share_reason(self.watch.check(line))
                step = (batch + 1) * updates
                if reason or is_due(batch + 1, self.schedule.save_every, batches):
                    self.save(step, state, None)
                if reason:
                    raise InputError(f"stopped at step {step}: {reason}")
        return metrics.last

    def _run_batch(
        self, batch: int, state: TrainState, metrics: Metrics
    ) -> tuple[TrainState, dict[str, Any]]:
        """Collects a batch, takes its steps and hands the weights over.

        Returns:
          The state, and the metrics of the batch with those of its first step.
        """
        step = batch * self.rollout.updates_per_batch
        try:
            experience = self.collector.collect(batch)
        except InputError:
            self.save(step, state, None)
            raise
        state, lines = self._update(state, experience)
        start = time.perf_counter()
        self.sampler.replace_params(state.params)
        seconds = {"seconds_hand_over": time.perf_counter() - start}
        first = experience.metrics | seconds | lines[0]
        for index, line in enumerate([first, *lines[1:]]):
            metrics.add(step + index, line)
        metrics.flush()
        return state, {name: float(value) for name, value in first.items()}

    @functools.cached_property
    def _take_step(self) -> Callable:
        """The compiled step on this process's rows."""
        rollout, job = self.rollout, self.job
        clip = rollout.clip if rollout.updates_per_batch > 1 else None
        count = float(self.prompts.batch_size * rollout.max_new_tokens)
        compiled = jit_policy_step(job.model, job.tx, job.compute, job.mesh, count=count, clip=clip)
        return on_global_batches(compiled, job.mesh, self.prompts)

    @functools.cached_property
    def _host_rows(self) -> np.ndarray:
        """Rows of a batch that this process's devices hold."""
        return host_rows(self.job.mesh, self.prompts)

    def _update(
        self, state: TrainState, experience: Experience
    ) -> tuple[TrainState, list[dict[str, Any]]]:
        start = time.perf_counter()
        rows = PolicyBatch(*(x[self._host_rows] for x in experience.rows))
        lines = []
        for _ in range(self.rollout.updates_per_batch):
            state, values = self._take_step(state, rows)
            lines.append(values)
        jax.block_until_ready(state)
        lines[0] = lines[0] | {"seconds_update": time.perf_counter() - start}
        return state, lines
