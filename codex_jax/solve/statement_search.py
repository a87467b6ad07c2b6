"""The search by statements: bodies grow from samples, equal states are one, the likeliest go on.

A position is a number of top-level statements. Each state that is kept there has samples of what
follows its likeliest text. They lead to the states after one, two and three statements more, and to
final programs; samples that lead to equal states add up.
"""

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from codex_jax import problem_texts, records
from codex_jax.evaluate.select.examples import Example, read_examples
from codex_jax.solve import outcomes, probes, search, statements
from codex_jax.solve.plan import NoPlan, last_function
from codex_jax.solve.statements import Body

FAULTS = ("ended", "raised", "empty", "against_examples")


@dataclasses.dataclass(frozen=True)
class Function:
    """The function that a prompt asks for, and its probes.

    Attributes:
      prompt: the prompt.
      entry_point: name of the function.
      parameters: names of its parameters.
      indent: white space before its statements.
      probes: argument lists.
      examples: the prompt's examples, by the numbers of their probes.
    """

    prompt: str
    entry_point: str
    parameters: tuple[str, ...]
    indent: str
    probes: list[list[Any]]
    examples: dict[int, Example]


def read_function(prompt: str, entry_point: str) -> Function:
    """Reads the function that a prompt ends in, and makes its probes from the prompt alone.

    Raises:
      NoPlan: the prompt is no function's, or no probes can be made.
    """
    header = last_function(prompt, entry_point)
    arguments = [*header.args.posonlyargs, *header.args.args]
    annotations = [ast.unparse(a.annotation) if a.annotation else "" for a in arguments]
    lists = probes.make_calls(prompt, entry_point, annotations)
    if not lists:
        raise NoPlan("no inputs can be made: the prompt shows no example and no known type")
    numbers = {repr(arguments): number for number, arguments in enumerate(lists)}
    examples = {numbers[repr(e.arguments)]: e for e in read_examples(prompt, entry_point)}
    line = problem_texts.split_lines(prompt)[header.body[0].lineno - 1]
    indent = line[: len(line) - len(line.lstrip())]
    names = tuple(a.arg for a in arguments)
    return Function(prompt, entry_point, names, indent, lists, examples)


@dataclasses.dataclass
class State:
    """Bodies with equal outcomes on all probes.

    Attributes:
      ways: each body's mass, an estimate of its probability.
    """

    ways: dict[Body, float] = dataclasses.field(default_factory=dict)

    @property
    def mass(self) -> float:
        """The mass of all its bodies."""
        return sum(self.ways.values())

    @property
    def body(self) -> Body:
        """The likeliest body."""
        return max(self.ways, key=lambda body: (self.ways[body], body.text))


@dataclasses.dataclass
class StatementSearch:
    """A search, which goes on from round to round of samples.

    Attributes:
      function: what the prompt asks for.
      windows: numbers of consecutive statements of a sample that lead to a state.
      beam: states that go on at each position.
      rounds: most positions that are sampled from.
      levels: position to the states there, by their keys.
      final: the states of programs.
      position: the next to be sampled from.
      tokens: sampled so far.
      counts: of the log.
      states: the state of each body that ran, "" where it failed, and whether it goes on.
    """

    function: Function
    windows: tuple[int, ...]
    beam: int
    rounds: int
    levels: dict[int, dict[str, State]] = dataclasses.field(default_factory=dict)
    final: dict[str, State] = dataclasses.field(default_factory=dict)
    position: int = 0
    tokens: int = 0
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    states: dict[Body, tuple[str, bool]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.counts = dict.fromkeys(("programs", *FAULTS, "windows", "windows_too_long"), 0)
        start = State({Body("", 0, is_final=False): 1.0})
        self.levels = {0: {"": start}}

    def prompts(self) -> list[str]:
        """Returns the prompts to sample next; none if the search has ended."""
        return [self.function.prompt + state.body.text for state in self._best()]

    def to_log(self) -> dict[str, Any]:
        """Returns what the log says of it."""
        sizes = {"probes": len(self.function.probes), "examples": len(self.function.examples)}
        return {"plan": "statements", **sizes, "tokens": self.tokens, **self.counts}

    def _best(self) -> list[State]:
        states = self.levels[self.position] if self.position < self.rounds else {}
        return keep_best(states, self.beam)

    def advance(
        self, samples: Mapping[str, Sequence[records.Completion]], session: search.Session
    ) -> None:
        """Runs what the samples of `prompts` wrote, and moves on to the next position."""
        states = self._best()
        total = sum(state.mass for state in self.levels[self.position].values())
        scale = total / sum(state.mass for state in states)  # those left out don't count as lost
        for state in states:
            group = samples.get(self.function.prompt + state.body.text)
            if group is None:
                self.counts["windows_too_long"] += 1
                continue
            self.counts["windows"] += 1
            self.tokens += sum(sample.tokens or 0 for sample in group)
            for sample in group:
                self._add(state.body, sample, state.mass * scale / len(group), session)
        later = [n for n in self.levels if self.position < n < self.rounds]
        self.position = min(later, default=self.rounds)

    def _add(
        self, before: Body, sample: records.Completion, mass: float, session: search.Session
    ) -> None:
        """Adds the states that a sample leads to, until it fails or all probes have an answer."""
        bodies = statements.read_bodies(
            self.function.prompt,
            before,
            sample.completion,
            self.function.entry_point,
            is_complete=sample.finish_reason == "stop",
        )
        for body in bodies:
            if not body.is_final and body.statements - before.statements not in self.windows:
                continue
            key, is_open = self._run(body, session)
            if not key:
                return
            if body.is_final or not is_open:  # as many positions lead to its text
                _add_way(self.final, key, body, mass / min(body.statements, self.rounds))
                return
            lengths = sum(length <= body.statements for length in self.windows)
            level = self.levels.setdefault(body.statements, {})
            _add_way(level, key, body, mass / lengths)

    def _run(self, body: Body, session: search.Session) -> tuple[str, bool]:
        """Returns a body's state, "" if it can't be the program, and whether it goes on."""
        if body in self.states:
            return self.states[body]
        function = self.function
        source = statements.make_program(function.prompt, body, function.indent)
        calls: list[Any] = [(tuple(arguments), {}) for arguments in function.probes]
        answers = session.run(source, function.entry_point, calls)
        run = outcomes.read_outcomes(answers, is_final=body.is_final)
        self.counts["programs"] += 1
        if reason := outcomes.find_fault(run, function.examples, len(calls)):
            self.counts[reason] += 1
            self.states[body] = "", False
        else:
            passing = statements.read_loop_variables(
                function.prompt + body.text, function.entry_point
            )
            key = outcomes.make_key(run, function.parameters, passing, body.text)
            self.states[body] = key, outcomes.is_open(run)
        return self.states[body]


def _add_way(states: dict[str, State], key: str, body: Body, mass: float) -> None:
    ways = states.setdefault(key, State()).ways
    ways[body] = ways.get(body, 0.0) + mass


def keep_best(states: Mapping[str, State], most: int) -> list[State]:
    """Returns the states with the most mass."""
    ordered = sorted(states.items(), key=lambda item: (-item[1].mass, item[0]))
    return [state for _, state in ordered[:most]]
