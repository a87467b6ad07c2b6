"""The search by helpers, with known samples and the real sandbox."""

import math

import pytest

from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.records import Completion
from codex_jax.solve import outlines
from codex_jax.solve.helper_search import HelperSearch
from tests.solve.test_outlines import CALLER, EVEN, FUNCTION, PROMPT, SUM
from tests.solve.test_statement_search import HOSTILE

RIGHT, SAME, WRONG = "    return v % 2 == 0\n", "    return not v % 2\n", "    return v > 2\n"
TOTALS = ["    return sum(values)\n", "    return len(values)\n"]
SWAPPED = "    return total([v for v in values if is_even(v)]) * factor\n"


@pytest.fixture(scope="module")
def session(sandbox_name):
    with ProgramRunner(sandbox=sandbox_name, timeout_s=1.0).open() as opened:
        yield opened


def read(*texts):
    outline_list = [outlines.read_outline(FUNCTION, text) for text in texts]
    assert all(outline_list)
    return outline_list


def samples(*texts, masses=()):
    masses = masses or [0.25] * len(texts)
    return [
        Completion(task_id="p", completion=text, sample_index=n, sum_logprob=math.log(mass))
        for n, (text, mass) in enumerate(zip(texts, masses, strict=True))
    ]


def run(session, shares, evens, totals, *, beam=4, most=1):
    (outline, *_) = shares
    groups = {outline["is_even"].prompt: evens, outline["total"].prompt: totals}
    search = HelperSearch(FUNCTION, shares, groups, beam, session)
    return search.run(most), search.counts


def test_helpers_get_bodies_and_bodies_of_one_behavior_add_up(session):
    (outline,) = read(EVEN + SUM + CALLER)
    evens = samples(RIGHT, SAME, "    return v % 4 == 0\n")
    ((state, completion),), counts = run(session, {outline: 0.5}, evens, samples(*TOTALS))
    namespace: dict = {}
    exec(PROMPT + completion, namespace)
    assert namespace["weigh"]([1, 2, 4], 3) == 18
    assert namespace["weigh"]([6, 7], 2) == 12
    assert state.mass == pytest.approx(0.5 * 2 / 3 * 1 / 2)
    assert counts["against_examples"] > 0
    assert counts["programs"] == 1 + 3 + 2 * 2 + 1


def test_bodies_that_do_the_same_on_what_the_caller_passes_are_one(session):
    """They differ on other inputs: no negative number is passed."""
    caller = CALLER.replace("is_even(v)", "is_even(abs(v))")
    (outline,) = read(EVEN + SUM + caller)
    evens = samples(RIGHT, "    return v >= 0 and v % 2 == 0\n")
    _, counts = run(session, {outline: 1.0}, evens, samples(*TOTALS))
    assert counts["programs"] == 1 + 2 + 2 + 1


def test_programs_of_several_outlines_add_up(session):
    first, second = read(EVEN + SUM + CALLER, EVEN + SUM + SWAPPED)
    assert first["total"] == second["total"]
    shares = {first: 0.4, second: 0.2}
    ((state, _),), _ = run(session, shares, samples(RIGHT), samples(TOTALS[0]))
    assert state.mass == pytest.approx(0.6)
    assert state.outline == first


def test_hostile_bodies_are_dropped_and_counted(session):
    (outline,) = read(EVEN + SUM + CALLER)
    hostile = [
        text.replace("weigh(values, factor)", "total(values)")
        for text in HOSTILE[:6:2] + HOSTILE[-3:]
    ]
    forged = "    global _codex_jax_traced\n    _codex_jax_stops.append(9)\n    return 1\n"
    totals = samples(*hostile, forged, TOTALS[0])
    states, counts = run(session, {outline: 1.0}, samples(RIGHT), totals)
    assert [state.path["total"].source.endswith(TOTALS[0]) for state, _ in states] == [True]
    assert counts["ended"] >= 1
    assert counts["raised"] >= 2


def test_without_a_body_that_runs_there_is_no_state(session):
    (outline,) = read(EVEN + SUM + CALLER)
    states, counts = run(session, {outline: 1.0}, samples("    return 1 / 0\n"), samples(*TOTALS))
    assert (states, counts["raised"]) == ([], 1)
    states, counts = run(session, {outline: 1.0}, [], samples(*TOTALS))
    assert (states, counts["programs"]) == ([], 1)


def test_a_helper_that_no_probe_calls_gets_its_likeliest_body(session):
    caller = CALLER.replace("total(", "(total if factor == 12345 else sum)(")
    (outline,) = read(EVEN + SUM + caller)
    totals = samples(*TOTALS, masses=[0.1, 0.3])
    ((state, completion),), _ = run(session, {outline: 1.0}, samples(RIGHT), totals)
    assert list(state.path) == ["is_even"]
    assert TOTALS[1].strip() in completion
    assert run(session, {outline: 1.0}, samples(RIGHT), [])[0] == []


def test_the_beam_keeps_the_states_with_the_most_mass(session):
    (outline,) = read(EVEN + SUM + CALLER)
    evens = samples(RIGHT, WRONG, masses=[0.1, 0.3])
    wide, _ = run(session, {outline: 1.0}, evens, samples(*TOTALS), beam=2, most=2)
    assert len(wide) == 1
    assert run(session, {outline: 1.0}, evens, samples(*TOTALS), beam=1)[0] == []


def test_a_program_that_answers_by_its_trace_alone_is_unlike_its_pieces(session):
    (outline,) = read(EVEN + SUM + CALLER)
    sly = "    import sys\n    return sum(values) if '_codex_jax_stops' in globals() else 7\n"
    states, counts = run(session, {outline: 1.0}, samples(RIGHT), samples(sly))
    assert (states, counts["unlike_pieces"]) == ([], 1)
