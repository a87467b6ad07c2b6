"""Rounds of the search by statements: all prompts' states are sampled at once, then they run."""

import concurrent.futures
import dataclasses
import multiprocessing
from collections.abc import Sequence

from codex_jax import records
from codex_jax.solve.sampling import Sampler, Samples
from codex_jax.solve.solver import Result, Runner, Solver, Task, without_search
from codex_jax.solve.statement_search import StatementSearch, keep_best

MOST_ROUNDS = 20
_CHUNK = 8  # searches that a process advances with one sandbox


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
        context = multiprocessing.get_context("spawn")  # starts without JAX
        workers = min(self.workers, -(-len(searches) // _CHUNK))
        with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
            number = 0
            while names := [name for name, search in searches.items() if search.prompts()]:
                if number:
                    prompts = [p for name in names for p in searches[name].prompts()]
                    samples = self.sampler.sample_failed(prompts, name_round(number))
                work = [self._work(searches[name], samples) for name in names]
                chunks = [work[start : start + _CHUNK] for start in range(0, len(work), _CHUNK)]
                advanced = pool.map(_advance_all, [self.solver.runner] * len(chunks), chunks)
                rows = [search for chunk in advanced for search in chunk]
                searches.update(zip(names, rows, strict=True))
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
