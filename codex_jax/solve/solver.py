"""Prompts as tasks, and the search for one: pieces from its samples, states, completions."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from codex_jax import records
from codex_jax.solve import pieces, probes, search
from codex_jax.solve.plan import NoPlan, Plan, read_plan


class Runner(Protocol):
    """Opens sandboxes in which programs run."""

    def open(self) -> AbstractContextManager[search.Session]:
        """Opens a session, for one thread."""
        ...


@dataclasses.dataclass(frozen=True)
class Task:
    """A prompt with its plan, or the reason why it has none; tests and references stay behind."""

    task_id: str
    prompt: str
    entry_point: str
    plan: Plan | None
    inputs: list[Any]
    reason: str

    def windows(self, lengths: Sequence[int]) -> list[tuple[int, int]]:
        """(start, stop) of every window of these lengths; none without a plan."""
        steps = len(self.plan.steps) if self.plan else 0
        return [(i, i + n) for n in sorted(set(lengths)) for i in range(steps - n + 1)]

    def prompts(self, lengths: Sequence[int]) -> list[str]:
        """The prompts to sample: of the windows, or the full one where there is no plan."""
        if self.plan is None:
            return [self.prompt]
        return [self.plan.prompt(*span) for span in self.windows(lengths)]


def read_task(problem: records.Problem) -> Task:
    """Reads the plan of a problem's prompt and makes its probes; only the prompt is looked at."""
    task = (problem.task_id, problem.prompt, problem.entry_point)
    try:
        plan = read_plan(problem.prompt, problem.entry_point)
        inputs = probes.make_probes(problem, plan.annotation)
        if not inputs:
            raise NoPlan("no inputs can be made: the prompt shows no example and no known type")
    except NoPlan as reason:
        return Task(*task, None, [], str(reason))
    return Task(*task, plan, inputs, "")


@dataclasses.dataclass
class Result:
    """Completions of a prompt, and the line of its search in the log."""

    completions: list[records.Completion]
    log: dict[str, Any]


Samples = Mapping[str, Sequence[records.Completion]]  # by prompt


@dataclasses.dataclass(frozen=True)
class Solver:
    """Settings of the search.

    Attributes:
      runner: where pieces run.
      windows: numbers of steps of a window.
      beam: states that are kept at each position.
      candidates: most completions of a prompt.
    """

    runner: Runner
    windows: tuple[int, ...]
    beam: int
    candidates: int

    def solve_all(self, tasks: Sequence[tuple[Task, Samples]]) -> list[Result]:
        """Searches for the programs of tasks, in one session; each with its own samples."""
        with self.runner.open() as session:
            return [self.solve(task, samples, session) for task, samples in tasks]

    def solve(self, task: Task, samples: Samples, session: search.Session) -> Result:
        """Searches for a task's program; without one, its ordinary samples are the result."""
        if task.plan is None:
            return _ordinary_samples(task, samples, task.reason, {})
        plan, counts = task.plan, search.Counts()
        spans = task.windows(self.windows)
        windows = {
            span: pieces.collect_pieces(
                *span, plan.prompt(*span), task.entry_point, samples[plan.prompt(*span)]
            )
            for span in spans
        }
        states = search.search(
            len(plan.steps),
            windows,
            task.inputs,
            task.entry_point,
            session,
            beam=max(self.beam, self.candidates),
            counts=counts,
        )
        tokens = sum(s.tokens or 0 for span in spans for s in samples[plan.prompt(*span)])
        log = {
            "steps": len(plan.steps),
            "windows": len(spans),
            "probes": len(task.inputs),
            "tokens": tokens,
            **dataclasses.asdict(counts),
        }
        if not states:
            return _ordinary_samples(task, samples, "no piece of some step runs on the probes", log)
        return _result_of_states(task, states[: self.candidates], tokens, log)


def _ordinary_samples(task: Task, samples: Samples, reason: str, log: dict[str, Any]) -> Result:
    """Returns the samples of the full prompt, if it was sampled, or none."""
    completions = [
        dataclasses.replace(sample, task_id=task.task_id) for sample in samples.get(task.prompt, [])
    ]
    tokens = sum(completion.tokens or 0 for completion in completions)
    return Result(completions, {"task_id": task.task_id, "reason": reason, "tokens": tokens, **log})


def _result_of_states(
    task: Task, states: Sequence[search.State], tokens: int, log: dict[str, Any]
) -> Result:
    assert task.plan is not None
    completions = []
    for index, state in enumerate(states):
        body = pieces.compose(state.path, task.entry_point, task.plan.argument)
        extra = {"mass": state.mass, "windows": [p.stop - p.start for p in state.path]}
        completions.append(
            records.Completion(
                task_id=task.task_id,
                completion=body,
                sample_index=index,
                tokens=tokens,
                finish_reason="stop",
                extra=extra,
            )
        )
    masses = [round(state.mass, 6) for state in states]
    return Result(completions, {"task_id": task.task_id, "reason": "", "masses": masses, **log})
