"""The search: pieces run on states, equal outputs are one behavior, equal states are one state.

A state is the tuple of values that a partial program gives on all probes. Its mass is the sum over
all ways to reach it of the products of their pieces' shares: a marginal over programs, as in
MBR-exec (Shi et al. 2022), for prefixes.
"""

import collections
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from codex_jax.evaluate.sandbox.guest import value_codec
from codex_jax.records import Run
from codex_jax.solve.pieces import Piece


class Session(Protocol):
    """A sandbox in which programs run."""

    def run(self, source: str, entry_point: str, calls: Sequence[Any]) -> Run:
        """Runs a program; returns its answers to the calls."""
        ...


@dataclasses.dataclass
class State:
    """Values of all probes after some steps.

    Attributes:
      values: one for each probe.
      mass: of all ways that lead here.
      path: the pieces of the likeliest way.
      path_mass: the product of their shares.
    """

    values: list[Any]
    mass: float = 0.0
    path: tuple[Piece, ...] = ()
    path_mass: float = 0.0


@dataclasses.dataclass
class Counts:
    """Work of a search.

    Attributes:
      programs: that ran, pieces and composed ones.
      failures: of a piece on a state.
      unlike_pieces: composed programs that did otherwise than their pieces.
      against_examples: composed programs that don't satisfy the prompt's examples.
    """

    programs: int = 0
    failures: int = 0
    unlike_pieces: int = 0
    against_examples: int = 0


def search(
    steps: int,
    windows: Mapping[tuple[int, int], Sequence[Piece]],
    probes: Sequence[Any],
    entry_point: str,
    session: Session,
    *,
    beam: int,
    counts: Counts,
) -> list[State]:
    """Returns the states after all steps, the one with the most mass first; none if all fail.

    Args:
      steps: number of steps of the plan.
      windows: (start, stop) to the pieces for these steps.
      probes: the first state.
      entry_point: the pieces' function.
      session: runs them.
      beam: states kept at each position.
      counts: what the search adds its work to.
    """
    levels: list[dict[str, State]] = [{} for _ in range(steps + 1)]
    levels[0][digest(probes)] = State(list(probes), 1.0, (), 1.0)
    for start in range(steps):
        states = _best(levels[start], beam)
        total = sum(state.mass for state in states)
        for (first, stop), pieces in windows.items():
            if first == start and states:
                outputs = _run_all(pieces, states, entry_point, session, counts)
                _extend(levels[stop], states, outputs, total)
    return _best(levels[steps], beam)


def _best(states: Mapping[str, State], beam: int) -> list[State]:
    ordered = sorted(states.items(), key=lambda item: (-item[1].mass, item[0]))
    return [state for _, state in ordered[:beam]]


def _run_all(
    pieces: Sequence[Piece],
    states: Sequence[State],
    entry_point: str,
    session: Session,
    counts: Counts,
) -> list[tuple[Piece, list[list[Any] | None]]]:
    """Runs each piece on the values of all states: its outputs by state, None where it failed.

    A piece fails where it raises, ends early, or returns nothing.
    """
    calls: list[Any] = [((value,), {}) for state in states for value in state.values]
    results: list[tuple[Piece, list[list[Any] | None]]] = []
    for piece in pieces:
        try:
            run = session.run(piece.source, entry_point, calls)
        except TypeError:  # a value that can't be sent
            run = Run([], 0.0, "a state that isn't plain data")
        counts.programs += 1
        rows: list[list[Any] | None] = []
        position = 0
        for state in states:
            answers = run.answers[position : position + len(state.values)]
            position += len(state.values)
            values = [answer.value for answer in answers if not answer.error]
            failed = len(values) < len(state.values) or all(value is None for value in values)
            counts.failures += failed
            rows.append(None if failed else values)
        results.append((piece, rows))
    return results


def _extend(
    level: dict[str, State],
    states: Sequence[State],
    outputs: Sequence[tuple[Piece, list[list[Any] | None]]],
    total: float,
) -> None:
    """Adds the states that a window's pieces lead to.

    A behavior's share is its mass over that of all pieces of the window, failed ones included: so
    windows of different lengths weigh the same.
    """
    window_mass = sum(piece.mass for piece, _ in outputs)
    for index, state in enumerate(states):
        behaviors: dict[str, list[tuple[Piece, list[Any]]]] = collections.defaultdict(list)
        for piece, rows in outputs:
            if (values := rows[index]) is not None and (key := digest(values)):
                behaviors[key].append((piece, values))
        for key, members in behaviors.items():
            share = sum(piece.mass for piece, _ in members) / (window_mass or 1.0)
            piece, values = members[0]  # the likeliest
            target = level.setdefault(key, State(values, path_mass=-1.0))
            target.mass += share * state.mass / (total or 1.0)
            path_mass = share * state.path_mass
            if path_mass > target.path_mass:
                target.path, target.path_mass = (*state.path, piece), path_mass


def digest(values: Sequence[Any]) -> str:
    """Returns a hash of plain values with their types; "" for others, which equal nothing."""
    try:
        text = json.dumps(value_codec.encode(list(values), strict=True))
    except (TypeError, ValueError, RecursionError):
        return ""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
