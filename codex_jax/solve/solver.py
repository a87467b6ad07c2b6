"""Prompts as tasks, and the search for one: pieces from its samples, states, completions."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from codex_jax import InputError, records
from codex_jax.evaluate.select.examples import Example, read_examples
from codex_jax.solve import pieces, probes, search
from codex_jax.solve.plan import NoList, NoPlan, Plan, read_plan
from codex_jax.solve.statement_search import Function, read_function


class Runner(Protocol):
    """Opens sandboxes in which programs run."""

    def open(self) -> AbstractContextManager[search.Session]:
        """Opens a session, for one thread."""
        ...


@dataclasses.dataclass(frozen=True)
class Task:
    """A prompt with its plan, or the reason why it has none; tests and references stay behind.

    Attributes:
      plan: the list of steps, if the prompt has one.
      function: what is sampled by helpers and by statements, if it has none.
    """

    task_id: str
    prompt: str
    entry_point: str
    plan: Plan | None
    inputs: list[Any]
    reason: str
    examples: tuple[Example, ...] = ()
    function: Function | None = None

    def windows(self, lengths: Sequence[int]) -> list[tuple[int, int]]:
        """(start, stop) of every window of these lengths; none without a plan."""
        steps = len(self.plan.steps) if self.plan else 0
        return [(i, i + n) for n in sorted(set(lengths)) for i in range(steps - n + 1)]

    def prompts(self, lengths: Sequence[int]) -> list[str]:
        """The prompts to sample: of the windows, or the full one where there is no plan."""
        if self.plan is None:
            return [self.prompt]
        return [self.plan.prompt(*span) for span in self.windows(lengths)]


def read_tasks(path: str, *, by_statements: bool = False) -> dict[str, Task]:
    """Reads the problems' prompts by task_id, and nothing else of them.

    Args:
      path: JSON Lines of problems.
      by_statements: as in `read_task`.

    Raises:
      InputError: no problems, a task_id that occurs twice, or a prompt with a suffix or with a
        lone surrogate.
    """
    tasks: dict[str, Task] = {}
    for problem in records.read_input(path, records.Problem):
        name = problem.task_id
        if name in tasks:
            raise InputError(f"{path}: {name} occurs twice; expected distinct task_ids")
        if problem.extra.get("suffix"):
            raise InputError(f"{path}: {name} has a suffix; leave infilling problems out")
        if _has_surrogate(problem.prompt):
            raise InputError(
                f"{path}: the prompt of {name!a} has a lone surrogate; set it to UTF-8"
            )
        bare = records.Problem(task_id=name, prompt=problem.prompt, entry_point=problem.entry_point)
        tasks[name] = read_task(bare, by_statements=by_statements)
    return tasks


def _has_surrogate(text: str) -> bool:
    """Whether a text has characters that no file and no tokenizer can hold."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def read_task(problem: records.Problem, *, by_statements: bool = False) -> Task:
    """Reads the plan of a problem's prompt and makes its probes; only the prompt is looked at.

    Args:
      problem: the problem.
      by_statements: whether a prompt without a list has its statements for a plan.
    """
    task = (problem.task_id, problem.prompt, problem.entry_point)
    try:
        plan = read_plan(problem.prompt, problem.entry_point)
        inputs = probes.make_probes(problem, plan.annotation)
        if not inputs:
            raise NoPlan("no inputs can be made: the prompt shows no example and no known type")
    except NoPlan as reason:
        if isinstance(reason, NoList) and by_statements:
            return _task_by_statements(*task, str(reason))
        return Task(*task, None, [], str(reason))
    examples = [e for e in read_examples(problem.prompt, problem.entry_point) if is_single(e)]
    return Task(*task, plan, inputs, "", tuple(examples))


def _task_by_statements(task_id: str, prompt: str, entry_point: str, reason: str) -> Task:
    task = Task(task_id, prompt, entry_point, None, [], reason)
    try:
        return dataclasses.replace(task, function=read_function(prompt, entry_point))
    except NoPlan as error:
        return dataclasses.replace(task, reason=str(error))


def is_single(example: Example) -> bool:
    """Whether an example has one argument, as a function with a plan takes."""
    return len(example.arguments) == 1


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
        """Searches for a task's program; without a plan, its ordinary samples are the result."""
        if task.plan is None:
            return without_search(task, samples, {"reason": task.reason})
        plan, counts = task.plan, search.Counts()
        spans = task.windows(self.windows)
        prompts = {span: plan.prompt(*span) for span in spans}
        windows = {
            span: pieces.collect_pieces(*span, prompt, task.entry_point, samples[prompt])
            for span, prompt in prompts.items()
            if prompt in samples
        }
        size = (len(plan.steps), windows, task.inputs, task.entry_point)
        beam = max(self.beam, self.candidates)
        states = search.search(*size, session, beam=beam, counts=counts)
        verified, reason = verify(task, states, session, counts, self.candidates)
        log = {
            "reason": reason,
            "steps": len(plan.steps),
            "windows": len(windows),
            "windows_too_long": len(spans) - len(windows),
            "probes": len(task.inputs),
            "examples": len(task.examples),
            "tokens": sum(s.tokens or 0 for p in prompts.values() for s in samples.get(p, ())),
            **dataclasses.asdict(counts),
        }
        return _result_of_states(task, verified, log)


def verify(
    task: Task,
    states: Sequence[search.State],
    session: search.Session,
    counts: search.Counts,
    most: int,
) -> tuple[list[search.State], str]:
    """Runs the composed programs, which must reach their states and satisfy the prompt's examples.

    Returns:
      The first `most` states whose programs do, and the reason if there are none.
    """
    if not states:
        return [], "no piece of some step runs on the probes"
    shown = [example.arguments for example in task.examples]
    calls = [((value,), {}) for value in task.inputs] + [(tuple(a), {}) for a in shown]
    verified: list[search.State] = []
    reason = "no composed program does as its pieces did"
    for state in states:
        if len(verified) == most:
            break
        source = task.prompt + _body(task, state)
        run = session.run(source, task.entry_point, calls)
        counts.programs += 1
        values = [answer.value for answer in run.answers if not answer.error]
        inputs = len(task.inputs)
        if len(values) < len(calls) or search.digest(values[:inputs]) != search.digest(
            state.values
        ):
            counts.unlike_pieces += 1
            continue
        answers = zip(task.examples, values[inputs:], strict=True)
        if not all(example.is_satisfied(value) for example, value in answers):
            counts.against_examples += 1
            reason = "no composed program satisfies the prompt's examples"
            continue
        verified.append(state)
    return verified, "" if verified else reason


def _body(task: Task, state: search.State) -> str:
    assert task.plan is not None
    return pieces.compose(state.path, task.entry_point, task.plan.argument)


def without_search(task: Task, samples: Samples, log: dict[str, Any]) -> Result:
    """Returns the samples of the full prompt, if it was sampled, or none; adds their tokens."""
    completions = [
        dataclasses.replace(sample, task_id=task.task_id) for sample in samples.get(task.prompt, [])
    ]
    tokens = log.get("tokens", 0) + sum(sample.tokens or 0 for sample in completions)
    return Result(completions, {"task_id": task.task_id, **log, "tokens": tokens})


def _result_of_states(task: Task, states: Sequence[search.State], log: dict[str, Any]) -> Result:
    completions = []
    for index, state in enumerate(states):
        extra = {"mass": state.mass, "windows": [p.stop - p.start for p in state.path]}
        completions.append(
            records.Completion(
                task_id=task.task_id,
                completion=_body(task, state),
                sample_index=index,
                tokens=log["tokens"],
                finish_reason="stop",
                extra=extra,
            )
        )
    masses = [round(state.mass, 6) for state in states]
    return Result(completions, {"task_id": task.task_id, **log, "masses": masses})
