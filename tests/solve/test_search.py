"""The search, on pieces that run in this process: masses, merging, the beam, failing pieces."""

import pytest

from codex_jax.records import Answer, Run
from codex_jax.solve import search
from codex_jax.solve.pieces import Piece
from codex_jax.solve.search import Counts

PROBES = [1, 2, 5]


class Session:
    """Runs pieces here: trusted code of tests."""

    def run(self, source, entry_point, calls):
        namespace: dict = {}
        exec(source, namespace)
        answers = []
        for arguments, named in calls:
            try:
                answers.append(Answer(namespace[entry_point](*arguments, **named)))
            except Exception as error:  # noqa: BLE001
                answers.append(Answer(error=repr(error)))
        return Run(answers, 0.0)


def piece(start, stop, expression, mass=1.0):
    return Piece(start, stop, f"def f(x): return {expression}\n", mass)


def run(steps, *pieces, beam=4):
    windows: dict = {}
    for piece in pieces:
        windows.setdefault((piece.start, piece.stop), []).append(piece)
    counts = Counts()
    states = search.search(steps, windows, PROBES, "f", Session(), beam=beam, counts=counts)
    return states, counts


def test_one_way_is_followed():
    (state,), counts = run(2, piece(0, 1, "x + 1"), piece(1, 2, "2 * x"))
    assert state.values == [4, 6, 12]
    assert state.mass == pytest.approx(1.0)
    assert [p.start for p in state.path] == [0, 1]
    assert (counts.programs, counts.failures) == (2, 0)


def test_different_programs_of_one_behavior_add_up():
    states, _ = run(1, piece(0, 1, "x + x", 0.2), piece(0, 1, "2 * x", 0.2), piece(0, 1, "x", 0.3))
    assert [state.values for state in states] == [[2, 4, 10], [1, 2, 5]]
    assert [state.mass for state in states] == pytest.approx([0.4 / 0.7, 0.3 / 0.7])


def test_windows_that_reach_one_state_outvote_a_wrong_step():
    wrong = [piece(0, 1, "x + 1"), piece(1, 2, "x", 0.9), piece(2, 3, "x - 3")]
    right = [piece(0, 2, "(x + 1) * 7", 0.8), piece(1, 3, "x * 7 - 3", 0.8)]
    states, _ = run(3, *wrong, *right, piece(0, 3, "(x + 1) * 7 - 3", 0.8))
    assert states[0].values == [(x + 1) * 7 - 3 for x in PROBES]
    assert states[0].mass > states[1].mass


@pytest.mark.parametrize("expression", ["1 / 0", "[][0]", "None", "undefined"])
def test_pieces_that_fail_lead_nowhere_but_weigh(expression):
    states, counts = run(1, piece(0, 1, expression, 3.0), piece(0, 1, "x", 1.0))
    (state,) = states
    assert state.mass == pytest.approx(0.25)
    assert counts.failures == 1


def test_a_piece_that_fails_on_one_probe_fails():
    states, _ = run(1, piece(0, 1, "1 // (x - 2)"))
    assert states == []


def test_no_state_without_pieces_for_a_step():
    assert run(2, piece(0, 1, "x"))[0] == []


def test_the_beam_keeps_the_heaviest_states():
    pieces = [piece(0, 1, f"x + {n}", 1 + n) for n in range(6)]
    states, _ = run(1, *pieces, beam=2)
    assert [state.values[0] for state in states] == [6, 5]


def test_equal_masses_are_ordered_the_same_way_each_time():
    pieces = [piece(0, 1, f"x + {n}") for n in range(6)]
    first, second = (run(1, *order)[0] for order in (pieces, pieces[::-1]))
    assert [s.values for s in first] == [s.values for s in second]


@pytest.mark.parametrize(
    ("first", "second"),
    [([1], [1.0]), ([True], [1]), (["1"], [1]), ([[1]], [(1,)]), ([{1, 2}], [[1, 2]])],
)
def test_values_of_other_types_are_other_states(first, second):
    assert search.digest(first) != search.digest(second)


def test_values_that_are_not_plain_equal_nothing():
    assert search.digest([object()]) == ""
    assert search.digest([1, "a", [2.5, None]]) == search.digest([1, "a", [2.5, None]])


def test_pieces_of_no_mass_divide_by_nothing():
    states, _ = run(2, piece(0, 1, "x + 1", 0.0), piece(1, 2, "2 * x", 0.0))
    assert states[0].values == [4, 6, 12]
    assert len(states[0].path) == 2
