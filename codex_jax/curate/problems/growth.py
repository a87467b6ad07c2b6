"""Inputs of a function, grown: those that take a new branch or give a new output are kept."""

import ast
import collections
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from codex_jax.curate.execution import Call, Session
from codex_jax.curate.inputs import literals, mutation, values
from codex_jax.curate.problems import branches, cases
from codex_jax.curate.problems.cases import Case

_BATCH = 48  # calls of one program
_ROUNDS = 3
_OPTIONAL = 0.35  # chance that an argument with a default is passed
_ECHO = "echo"  # stands for the outputs of all cases that give an argument back
_MAX_REPEATED_OUTPUT = 6  # cases of one output beyond those that take a new branch


class Grown(NamedTuple):
    """Cases that were kept, the most telling first, and the share of branches they take."""

    cases: list[Case]
    branch_coverage: float  # 1.0 where there is no branch


class Growth:
    """Grows the cases of one function.

    Args:
      session: where the function runs.
      program: its instrumented source.
      node: its definition.
      rng: source of chance.
      recorded: values that tests saw, by key of a case; a case of another value is dropped. What
        the call did to its arguments isn't recorded.
    """

    def __init__(
        self,
        session: Session,
        program: branches.Instrumented,
        node: ast.FunctionDef,
        rng: random.Random,
        recorded: Mapping[str, Any] | None = None,
    ):
        self.session, self.program, self.node, self.rng = session, program, node, rng
        self.recorded = recorded or {}
        self.written: set[str] = set()  # keys of the calls that somebody wrote down
        self.constants = _constants(node)
        self.accepted: dict[str, Case] = {}
        self.tried: set[str] = set()
        self.types: set[tuple[str, ...]] = set()  # of the arguments that may be passed

    def grow(self, seeds: Sequence[Call], most: int) -> Grown:
        """Returns up to `most` cases from calls that are there, generated and mutated ones."""
        self._try(seeds)
        self.written = set(self.tried)
        self.types = {_types(case.call) for case in self.accepted.values()}
        if len(self.accepted) < 3:
            self._generate()
        for _ in range(_ROUNDS):
            is_covered = len(_branches(self.accepted.values())) == self.program.branches
            if not self.accepted or (is_covered and len(self._select(most)) >= most):
                break
            self._try(list(self._mutants()))
        selected = self._select(most)
        total = self.program.branches
        return Grown(selected, len(_branches(selected)) / total if total else 1.0)

    def _try(self, calls: Sequence[Call]) -> None:
        """Runs calls that haven't run yet, and accepts those whose answer is plain."""
        fresh = []
        for call in calls:
            try:
                key = cases.call_text("", call)
            except ValueError:
                continue
            if key not in self.tried and fits(self.node.args, call):
                self.tried.add(key)
                fresh.append(call)
        for start in range(0, len(fresh), _BATCH):
            self._run(fresh[start : start + _BATCH])

    def _run(self, calls: Sequence[Call]) -> None:
        run = self.session.run(self.program.source, self.program.entry_point, calls)
        for call, answer in zip(calls, run.answers, strict=False):
            if answer.error or not _is_measured(answer.value):
                continue
            value, taken = answer.value
            case = cases.case_of(call, answer._replace(value=value), taken)
            if case is not None and self._is_as_recorded(case):
                is_recorded = case.key in self.recorded
                self.accepted[case.key] = case._replace(is_recorded=is_recorded)

    def _is_as_recorded(self, case: Case) -> bool:
        return literals.is_equal(self.recorded.get(case.key, case.value), case.value)

    def _generate(self) -> None:
        """Tries values by annotation and name, then of other types; keeps the best types."""
        for is_strict in (True, False):
            before = set(self.accepted)
            self._try([self._random_call(is_strict=is_strict) for _ in range(_BATCH)])
            fresh = [case for key, case in self.accepted.items() if key not in before]
            if fresh:
                self._keep_best_types(fresh)
                return

    def _keep_best_types(self, fresh: Sequence[Case]) -> None:
        outputs: dict[tuple[str, ...], set[str]] = {}
        for case in fresh:
            outputs.setdefault(_types(case.call), set()).add(case.output)
        best = max(outputs, key=lambda types: (len(outputs[types]), types))
        self.types |= {types for types in outputs if self._is_sure() or _is_near(types, best)}
        for case in fresh:
            if _types(case.call) not in self.types:
                del self.accepted[case.key]

    def _is_sure(self) -> bool:
        """Whether annotations and defaults say the type of every parameter."""
        pairs = parameters(self.node.args)
        return all(len(values.maker(parameter, default)) == 1 for parameter, default in pairs)

    def _random_call(self, *, is_strict: bool) -> Call:
        arguments: list[Any] = []
        named: dict[str, Any] = {}
        for parameter, default in parameters(self.node.args):
            makes = values.maker(parameter, default)
            is_sure = len(makes) == 1
            if default is not None and (not is_sure or self.rng.random() > _OPTIONAL):
                continue
            make = makes[0] if is_strict else self.rng.choice(makes)
            value = self._draw(make)
            if parameter in self.node.args.kwonlyargs or default is not None:
                named[parameter.arg] = value
            else:
                arguments.append(value)
        if self.node.args.vararg and not named:
            make = values.maker(self.node.args.vararg, None)[0]
            arguments += [make(self.rng, 1) for _ in range(self.rng.choice((1, 2, 3)))]
        return Call(tuple(arguments), named)

    def _draw(self, make: values.Make) -> Any:
        """Returns a value; now and then one that stands in the function, which decides a branch."""
        value = make(self.rng, 0)
        constants = [c for c in self.constants if type(c) is type(value)]
        return self.rng.choice(constants) if constants and self.rng.random() < 0.25 else value

    def _mutants(self) -> Iterator[Call]:
        parents = self._select(_BATCH) or list(self.accepted.values())
        for _ in range(2 * _BATCH):
            call = mutation.mutate(self.rng.choice(parents).call, self.rng, self.constants)
            if self.rng.random() < 0.4:
                call = mutation.mutate(call, self.rng, self.constants)
            if _types(call) in self.types:
                yield call

    def _preference(self, case: Case) -> tuple[bool, bool, int]:
        """Returns the rank of a case: recorded ones first, then written ones, then short ones."""
        length = len(case.key) + len(case.output) // 2
        return not case.is_recorded, case.key not in self.written, length

    def _select(self, most: int) -> list[Case]:
        """Returns the cases that take a new branch, then those of a new output, then others."""
        ordered = sorted(self.accepted.values(), key=self._preference)
        taken: set[int] = set()
        outputs: collections.Counter[str] = collections.Counter()
        ranks: tuple[list[Case], list[Case], list[Case]] = [], [], []
        for case in ordered:
            output = _ECHO if is_echo(case) else case.output
            rank = 0 if case.branches - taken else 1 if output not in outputs else 2
            outputs[output] += 1
            taken |= case.branches
            if rank < 2 or outputs[output] <= _MAX_REPEATED_OUTPUT:
                ranks[rank].append(case)
        return [case for rank in ranks for case in rank][:most]


def _branches(cases: Iterable[Case]) -> frozenset[int]:
    return frozenset[int]().union(*(case.branches for case in cases))


def is_echo(case: Case) -> bool:
    """Whether the answer is one of the arguments, as it was."""
    if case.arguments is not None:
        return False
    arguments = [*case.call.arguments, *case.call.named.values()]
    return any(literals.is_equal(argument, case.value) for argument in arguments)


def _is_measured(value: Any) -> bool:
    return type(value) is tuple and len(value) == 2 and type(value[1]) is list


def _types(call: Call) -> tuple[str, ...]:
    """Returns the types of a call's arguments, with the names of named ones."""
    named = [f"{name}={type(value).__name__}" for name, value in sorted(call.named.items())]
    return (*(type(value).__name__ for value in call.arguments), *named)


def _is_near(types: tuple[str, ...], best: tuple[str, ...]) -> bool:
    """Whether positional arguments have the best types; numbers are all alike."""
    numbers = {"int": "number", "float": "number"}

    def positional(names: tuple[str, ...]) -> list[str]:
        return [numbers.get(name, name) for name in names if "=" not in name]

    return positional(types) == positional(best)


def parameters(arguments: ast.arguments) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Yields the parameters of a function with their defaults, but for *args and **kwargs."""
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    yield from zip(positional, [*[None] * required, *arguments.defaults], strict=True)
    yield from zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)


def fits(arguments: ast.arguments, call: Call) -> bool:
    """Whether a function of these parameters can be called so."""
    positional = [a.arg for a in [*arguments.posonlyargs, *arguments.args]]
    if len(call.arguments) > len(positional) and arguments.vararg is None:
        return False
    passed = set(positional[: len(call.arguments)])
    if passed & set(call.named):
        return False
    names = {parameter.arg for parameter, _ in parameters(arguments)}
    if set(call.named) - names and arguments.kwarg is None:
        return False
    required = {p.arg for p, default in parameters(arguments) if default is None}
    return required <= passed | set(call.named)


def _constants(node: ast.FunctionDef) -> list[Any]:
    """Returns the scalars in a function's body, its docstring left out."""
    scalars: dict[str, Any] = {}
    for statement in node.body[ast.get_docstring(node) is not None :]:
        for inner in ast.walk(statement):
            if isinstance(inner, ast.Constant) and literals.is_plain(inner.value):
                scalars.setdefault(repr(inner.value), inner.value)
    return list(scalars.values())[:40]
