"""Prompts that a model outlines: their helpers are sampled at once, then the searches run."""

import collections
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from codex_jax import records
from codex_jax.solve import outlines
from codex_jax.solve.helper_search import HelperSearch, State
from codex_jax.solve.outlines import Outline
from codex_jax.solve.processes import open_processes
from codex_jax.solve.sampling import Sampler, Samples
from codex_jax.solve.solver import Result, Solver, Task
from codex_jax.solve.statement_search import Function

MOST_OUTLINES = 20


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A task's outlines, and all samples that its search may use.

    Attributes:
      shares: outlines to their shares of the samples of the prompt; none if there is no helper.
      samples: of its helpers' prompts.
      tokens: sampled for outlines and helpers, without those of the prompt itself.
      helpers: how many helpers there are, and how many of them are longer than the model.
    """

    task_id: str
    function: Function
    shares: Mapping[Outline, float]
    samples: Samples
    tokens: int
    helpers: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class HelperRounds:
    """Settings of the searches by helpers.

    Attributes:
      solver: the settings that they share with searches by steps.
      sampler: samples the helpers.
      outlines: most outlines of a prompt whose helpers are sampled; 0: none.
      workers: processes.
    """

    solver: Solver
    sampler: Sampler
    outlines: int
    workers: int

    def prompts(self, tasks: Sequence[Task]) -> list[str]:
        """Returns the prompts that ask for outlines: for tasks that have no list of steps."""
        functions = [task.function for task in tasks if task.function and self.outlines]
        return [outlines.make_prompt(function) for function in functions]

    def solve(self, tasks: Sequence[Task], samples: Samples) -> dict[str, Result]:
        """Returns the results of the tasks without a list by task_id; without completions if none.

        Args:
          tasks: all tasks.
          samples: of their prompts, and of those that ask for outlines.
        """
        functions = {t.task_id: t.function for t in tasks if t.function and self.outlines}
        shares = {name: self._choose(f, samples) for name, f in functions.items()}
        prompts = [h.prompt for group in shares.values() for o in group for h in o.helpers]
        helpers = self.sampler.sample(prompts, "helpers")
        attempts = [
            _attempt(name, function, shares[name], samples, helpers)
            for name, function in functions.items()
        ]
        if not attempts:
            return {}
        with open_processes(len(attempts), self.workers) as map_chunks:
            solved = map_chunks(functools.partial(_solve_all, self.solver), attempts)
            return {result.log["task_id"]: result for result in solved}

    def _choose(self, function: Function, samples: Samples) -> dict[Outline, float]:
        """Returns the outlines that most samples write, the first of equal ones, by their shares.

        Ordinary samples of the prompt count, too: a model may write helpers unasked.
        """
        texts = [sample.completion for sample in samples.get(function.prompt, [])]
        start = outlines.lead(function)
        group = samples.get(outlines.make_prompt(function), [])
        texts += [start + sample.completion for sample in group]
        read = [outlines.read_outline(function, text) for text in texts]
        counts = collections.Counter(outline for outline in read if outline)
        return {o: count / len(texts) for o, count in counts.most_common(self.outlines)}


def _attempt(
    task_id: str,
    function: Function,
    shares: Mapping[Outline, float],
    samples: Samples,
    helpers: Samples,
) -> Attempt:
    prompts = dict.fromkeys(h.prompt for outline in shares for h in outline.helpers)
    used = {prompt: helpers[prompt] for prompt in prompts if prompt in helpers}
    groups = [samples.get(outlines.make_prompt(function), []), *used.values()]
    tokens = sum(sample.tokens or 0 for group in groups for sample in group)
    sizes = len(prompts), len(prompts) - len(used)
    return Attempt(task_id, function, shares, used, tokens, sizes)


def _solve_all(solver: Solver, attempts: Sequence[Attempt]) -> list[Result]:
    """Searches in one session."""
    with solver.runner.open() as session:
        results = []
        for attempt in attempts:
            beam = max(solver.beam, solver.candidates)
            search = HelperSearch(attempt.function, attempt.shares, attempt.samples, beam, session)
            results.append(_result(attempt, search.run(solver.candidates), search.counts))
        return results


def _result(
    attempt: Attempt, states: Sequence[tuple[State, str]], counts: Mapping[str, int]
) -> Result:
    completions = [
        records.Completion(
            task_id=attempt.task_id,
            completion=text,
            sample_index=index,
            tokens=attempt.tokens,
            finish_reason="stop",
            extra={"mass": state.mass, "helpers": [h.name for h in state.outline.helpers]},
        )
        for index, (state, text) in enumerate(states)
    ]
    log: dict[str, Any] = {
        "reason": "" if states else _reason(attempt, counts),
        "plan": "helpers",
        "outlines": len(attempt.shares),
        "helpers": attempt.helpers[0],
        "helpers_too_long": attempt.helpers[1],
        "probes": len(attempt.function.probes),
        "examples": len(attempt.function.examples),
        "tokens": attempt.tokens,
        **counts,
    }
    masses = [round(state.mass, 6) for state, _ in states]
    return Result(completions, {"task_id": attempt.task_id, **log, "masses": masses})


def _reason(attempt: Attempt, counts: Mapping[str, int]) -> str:
    if not attempt.shares:
        return "no sample documents a helper that it calls"
    if len(attempt.samples) < attempt.helpers[0]:
        return "a helper's prompt and a sample are longer than the model"
    if counts["against_examples"]:
        return "no program by helpers satisfies the prompt's examples"
    if counts["unlike_pieces"]:
        return "no composed program does as its pieces did"
    return "no piece of some helper runs on the probes"


def drop_solved(tasks: Sequence[Task], attempts: Mapping[str, Result]) -> list[Task]:
    """Returns the tasks; those that helpers solved aren't sampled by statements."""
    solved = {name for name, attempt in attempts.items() if attempt.completions}
    return [
        dataclasses.replace(task, function=None) if task.task_id in solved else task
        for task in tasks
    ]


def merge_results(results: Sequence[Result], attempts: Mapping[str, Result]) -> list[Result]:
    """Returns what helpers solved, else the results, whose logs say why they didn't."""
    pairs = ((result, attempts.get(result.log["task_id"])) for result in results)
    return [_merge(result, attempt) if attempt else result for result, attempt in pairs]


def _merge(result: Result, attempt: Result) -> Result:
    tokens = result.log["tokens"] + attempt.log["tokens"]  # the other's are of the prompt's samples
    completions, log = attempt.completions, attempt.log
    if not completions:
        fields = {k: v for k, v in log.items() if k not in ("task_id", "plan", "masses")}
        completions, log = result.completions, {**result.log, "by_helpers": fields}
    if not log["reason"]:
        completions = [dataclasses.replace(c, tokens=tokens) for c in completions]
    return Result(completions, {**log, "tokens": tokens})
