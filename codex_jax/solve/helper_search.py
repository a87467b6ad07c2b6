"""The search by helpers: outlines whose helpers get bodies, in the order in which they are called.

A program runs until it calls a helper that has no body yet. All that its helpers returned until
then, on all probes, is its state: programs of one outline in equal states are one.
"""

import ast
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from codex_jax import records
from codex_jax.evaluate.select.behaviors import digest
from codex_jax.solve import outcomes, outlines, search
from codex_jax.solve.outcomes import Outcome
from codex_jax.solve.outlines import Outline
from codex_jax.solve.pieces import Piece, collect_pieces, find_function
from codex_jax.solve.statement_search import FAULTS, Function

Samples = Mapping[str, Sequence[records.Completion]]  # by prompt


@dataclasses.dataclass
class State:
    """Programs of an outline whose helpers did the same on all probes.

    Attributes:
      outline: what they share.
      next_helper: name of the one that they call next; "" for complete programs.
      answers: digest of a complete program's answers; "" if they aren't plain data.
      mass: of all ways that lead here.
      path: the pieces of the likeliest way, by their helpers' names.
      path_mass: its own mass.
    """

    outline: Outline
    next_helper: str = ""
    answers: str = ""
    mass: float = 0.0
    path: Mapping[str, Piece] = dataclasses.field(default_factory=dict)
    path_mass: float = -1.0


@dataclasses.dataclass
class HelperSearch:
    """The search for a function's program.

    Attributes:
      function: what the prompt asks for.
      shares: outlines, each with its share of the samples.
      samples: of the helpers' prompts.
      beam: states that go on after each helper.
      session: runs programs.
      counts: of the log.
    """

    function: Function
    shares: Mapping[Outline, float]
    samples: Samples
    beam: int
    session: search.Session
    counts: dict[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.counts = dict.fromkeys(("programs", *FAULTS, "unlike_pieces"), 0)
        self._pieces: dict[str, list[Piece]] = {}
        self._calls: list[Any] = [(tuple(arguments), {}) for arguments in self.function.probes]

    def run(self, most: int) -> list[tuple[State, str]]:
        """Returns the `most` states with the most mass and their completions; none if all fail."""
        level: dict[str, State] = {}
        final: dict[str, State] = {}
        for outline, share in self.shares.items():
            self._add(State(outline), {}, share, share, level, final)
        while level:
            states, level = _best(level, self.beam), {}
            for state in states:
                self._fill(state, level, final)
        return self._verify(_best(final, len(final)), most)

    def _fill(self, state: State, level: dict[str, State], final: dict[str, State]) -> None:
        """Adds the states that the pieces of the next helper lead to.

        A piece weighs its mass over that of all pieces of the helper, failed ones included.
        """
        pieces = self._read_pieces(state.outline, state.next_helper)
        total = sum(piece.mass for piece in pieces) or 1.0
        for piece in pieces:
            path = {**state.path, state.next_helper: piece}
            share = piece.mass / total
            weights = share * state.mass, share * state.path_mass
            self._add(state, path, *weights, level, final)

    def _add(
        self,
        before: State,
        path: Mapping[str, Piece],
        mass: float,
        path_mass: float,
        level: dict[str, State],
        final: dict[str, State],
    ) -> None:
        """Runs an outline with these pieces, and adds its state if it can become the program."""
        outline, functions = before.outline, _functions(path)
        source = outlines.make_traced_program(self.function, outline, functions)
        run = self.session.run(source, outlines.TRACED, self._calls)
        self.counts["programs"] += 1
        missing = {helper.name for helper in outline.helpers} - path.keys()
        rows = [_read_trace(answer, missing) for answer in run.answers]
        ends = [outcome for outcome, _ in rows]
        if fault := outcomes.find_fault(ends, self.function.examples, len(self._calls)):
            self.counts[fault] += 1
            return
        stops = [stop for outcome in ends for stop in outcome.variables or ()]
        if stops:
            traces = [[outcome.error, trace] for outcome, trace in rows]
            key = digest([outline.source, sorted(path), traces]) or source
            target = level.setdefault(key, State(outline, stops[0]))
        else:
            answers = _digest_answers(ends)
            target = final.setdefault(answers or source, State(outline, answers=answers))
        target.mass += mass
        if path_mass > target.path_mass:
            target.outline, target.path, target.path_mass = outline, path, path_mass

    def _read_pieces(self, outline: Outline, name: str) -> list[Piece]:
        prompt = outline[name].prompt
        if prompt not in self._pieces:
            group = self.samples.get(prompt, ())
            self._pieces[prompt] = collect_pieces(0, 1, prompt, name, group)
        return self._pieces[prompt]

    def _verify(self, states: Sequence[State], most: int) -> list[tuple[State, str]]:
        """Runs the composed programs, which must answer as they did while they were traced.

        A helper that is called on no probe gets its likeliest piece.
        """
        verified: list[tuple[State, str]] = []
        for state in states:
            if len(verified) == most:
                break
            rest = [h.name for h in state.outline.helpers if h.name not in state.path]
            likeliest = {name: self._read_pieces(state.outline, name)[:1] for name in rest}
            chosen = {name: pieces[0] for name, pieces in likeliest.items() if pieces}
            if len(chosen) < len(rest):
                self.counts["unlike_pieces"] += 1
                continue
            path = {**state.path, **chosen}
            text = outlines.complete(self.function, state.outline, _functions(path))
            if self._is_like(text, state):
                verified.append((state, text))
            else:
                self.counts["unlike_pieces"] += 1
        return verified

    def _is_like(self, completion: str, state: State) -> bool:
        """Whether a completion's program answers as the state's programs did."""
        function = self.function
        run = self.session.run(function.prompt + completion, function.entry_point, self._calls)
        self.counts["programs"] += 1
        ends = outcomes.read_outcomes(run, is_final=True)
        fault = outcomes.find_fault(ends, function.examples, len(self._calls))
        return not fault and _digest_answers(ends) == state.answers


def _best(states: Mapping[str, State], most: int) -> list[State]:
    ordered = sorted(states.items(), key=lambda item: (-item[1].mass, item[0]))
    return [state for _, state in ordered[:most]]


def _functions(path: Mapping[str, Piece]) -> dict[str, ast.FunctionDef]:
    return {name: find_function(piece.source, name) for name, piece in path.items()}


def _read_trace(answer: records.Answer, missing: Collection[str]) -> tuple[Outcome, Any]:
    """Returns a traced program's outcome, whose variables name the helper that it stopped at.

    The other value is what its helpers returned. Answers that aren't a trace's are exceptions.
    """
    if answer.error:
        return Outcome(error=answer.error.partition(":")[0]), []
    match answer.value:
        case ["", value, trace]:
            return Outcome(value=value, arguments=answer.arguments), trace
        case [str(name), None, trace] if name in missing:
            return Outcome(variables={name: None}), trace
    return Outcome(error="no trace"), []


def _digest_answers(ends: Sequence[Outcome]) -> str:
    return digest([[outcome.value, outcome.arguments, outcome.error] for outcome in ends])
