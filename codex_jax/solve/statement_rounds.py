"""Rounds of the search by statements: all prompts' states are sampled at once, then they run."""

import dataclasses
import functools
from collections.abc import Sequence

from codex_jax import records
from codex_jax.solve.processes import open_processes
from codex_jax.solve.sampling import Sampler, Samples
from codex_jax.solve.solver import Result, Runner, Solver, Task, without_search
from codex_jax.solve.statement_search import StatementSearch, keep_best

MOST_ROUNDS = 20


def name_round(number: int) -> str:
    """Returns the name of a round's files; the first round's samples are those of the prompts."""
    return f"statements-{number}"


@dataclasses.dataclass(frozen=True)
class StatementRounds:
    """Settings of the searches by statements.

    Attributes:
      solver: the settings that they share with searches by steps.
      sampler: samples what follows the states.
      rounds: most positions that are sampled from.
      workers: processes.
    """

    solver: Solver
    sampler: Sampler
    rounds: int
    workers: int

    def replace_results(
        self, tasks: Sequence[Task], results: Sequence[Result], samples: Samples
    ) -> list[Result]:
        """Returns the results, with those by statements for the tasks that have no other plan.

        Args:
          tasks: all tasks.
          results: theirs.
          samples: of the tasks' prompts: those of the first round.
        """
        searches = {
            task.task_id: StatementSearch(
                task.function, self.solver.windows, self.solver.beam, self.rounds
            )
            for task in tasks
            if task.function
        }
        self._run(searches, samples)
        return [
            self._result(task, searches[task.task_id], samples) if task.function else result
            for task, result in zip(tasks, results, strict=True)
        ]

    def _run(self, searches: dict[str, StatementSearch], samples: Samples) -> None:
        """Advances the searches until each has ended."""
        if not searches:
            return
        advance = functools.partial(_advance_all, self.solver.runner)
        with open_processes(len(searches), self.workers) as map_chunks:
            number = 0
            while names := [name for name, search in searches.items() if search.prompts()]:
                if number:
                    prompts = [p for name in names for p in searches[name].prompts()]
                    samples = self.sampler.sample_failed(prompts, name_round(number))
                work = [self._work(searches[name], samples) for name in names]
                searches.update(zip(names, map_chunks(advance, work), strict=True))
                number += 1

    @staticmethod
    def _work(search: StatementSearch, samples: Samples) -> tuple[StatementSearch, Samples]:
        return search, {p: samples[p] for p in search.prompts() if p in samples}

    def _result(self, task: Task, search: StatementSearch, samples: Samples) -> Result:
        """Returns the programs with the most mass, else the samples of the prompt."""
        states = keep_best(search.final, self.solver.candidates)
        log = {"reason": "" if states else _reason(search), **search.to_log()}
        if not states:
            result = without_search(task, samples, log)
            result.log["tokens"] = search.tokens  # which the first round's are among
            return result
        completions = [
            records.Completion(
                task_id=task.task_id,
                completion=state.body.text,
                sample_index=index,
                tokens=search.tokens,
                finish_reason="stop",
                extra={"mass": state.mass, "statements": state.body.statements},
            )
            for index, state in enumerate(states)
        ]
        masses = [round(state.mass, 6) for state in states]
        return Result(completions, {"task_id": task.task_id, **log, "masses": masses})


def _reason(search: StatementSearch) -> str:
    if not search.counts["windows"]:
        return "the prompt and a sample are longer than the model"
    if search.counts["against_examples"]:
        return "no program by statements satisfies the prompt's examples"
    return "no program by statements runs on the probes"


def _advance_all(
    runner: Runner, work: Sequence[tuple[StatementSearch, Samples]]
) -> list[StatementSearch]:
    """Advances searches by a round, in one session."""
    with runner.open() as session:
        for search, samples in work:
            search.advance(samples, session)
    return [search for search, _ in work]
