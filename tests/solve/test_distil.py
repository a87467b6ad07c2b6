"""Distilled texts: both forms do what the completion does, and what can't be inlined isn't."""

import ast
import dataclasses
import json

import pytest

from codex_jax import InputError
from codex_jax.curate import chains
from codex_jax.records import Answer, Completion, Problem, Run, read_jsonl, write_jsonl
from codex_jax.solve import distil as distilling
from codex_jax.solve.pieces import Piece, compose
from codex_jax.solve.plan import read_plan

CHAIN = (2, 8, 1, 6)
PROBLEM = chains.problem(CHAIN, task_id="chain", seed=0)


class Session:
    """Runs programs here: trusted code of tests."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, source, entry_point, calls):
        namespace: dict = {}
        exec(source, namespace)
        return Run([Answer(namespace[entry_point](*args)) for args, _ in calls], 0.0)


class Runner:
    def open(self):
        return Session()


def composed(*spans, bodies=None) -> Completion:
    """The chain's program of windows with these ends, as `solve` writes it."""
    pieces = []
    for number, (start, stop) in enumerate(spans):
        body = bodies[number] if bodies else chains.solution(CHAIN[start:stop])
        pieces.append(Piece(start, stop, chains.prompt(CHAIN[start:stop]) + body, 1.0))
    return Completion(
        task_id="chain",
        completion=compose(pieces, PROBLEM.entry_point, "s"),
        sample_index=0,
        extra={"windows": [stop - start for start, stop in spans]},
    )


def distil(folder, *completions, **settings):
    write_jsonl(folder / "problems.jsonl", [PROBLEM])
    write_jsonl(folder / "completions.jsonl", completions)
    counts = distilling.distil(
        problems=str(folder / "problems.jsonl"),
        completions=str(folder / "completions.jsonl"),
        output=str(folder / "distilled.jsonl"),
        runner=Runner(),
        **settings,
    )
    rows = read_jsonl(folder / "distilled.jsonl", Problem)
    return counts, {row.extra["form"]: row for row in rows}


@pytest.mark.parametrize(
    "spans", [[(0, 2), (2, 4)], [(0, 1), (1, 4)], [(0, 1), (1, 2), (2, 3), (3, 4)]]
)
def test_both_forms_pass_the_chains_tests(tmp_path, spans):
    counts, rows = distil(tmp_path, composed(*spans))
    assert counts == {"whole": 1, "helpers": 1}
    for row in rows.values():
        namespace: dict = {}
        exec(row.prompt + row.canonical_solution + PROBLEM.test, namespace)
        namespace["check"](namespace[row.entry_point])
        assert row.prompt == PROBLEM.prompt
        assert row.extra["package"] == "chain"
    whole = ast.unparse(ast.parse(rows["whole"].prompt + rows["whole"].canonical_solution))
    assert whole == ast.unparse(ast.parse(PROBLEM.prompt + chains.solution(CHAIN)))
    helpers = rows["helpers"].canonical_solution
    assert helpers.count("def step_") == helpers.count('"""') // 2 == len(spans)


def test_docstrings_of_helpers_are_their_steps():
    program = composed((0, 1), (1, 4))
    source = PROBLEM.prompt + program.completion
    steps = distilling._step_functions(source)
    plan = read_plan(PROBLEM.prompt, PROBLEM.entry_point)
    text = distilling.document(source, steps, plan, [1, 3])
    first, second, third = (chains.STRINGS.blocks[b][0] for b in CHAIN[1:])
    assert f'"""{first.capitalize()}, then {second}, then {third}."""' in text
    assert distilling.document(source, steps, plan, [1, 2]) == ""


@pytest.mark.parametrize(
    "body",
    [
        "    if not s:\n        return s\n    return s.lower()\n",
        "    s.lower()\n",
        "    return\n",
        "    return step(s[1:]) if s else ''\n",
    ],
)
def test_steps_that_cannot_be_inlined(body):
    source = f"def step(s):\n{body}"
    (step,) = ast.parse(source).body
    assert distilling.merge(source, [step], "s") == ""


def test_a_merged_program_that_does_otherwise_is_left_out(tmp_path):
    """A name that one step binds hides a built-in function of the next."""
    bodies = ["    len = 1\n    return s.lower()\n", chains.solution(CHAIN[1:])]
    program = composed((0, 1), (1, 4), bodies=bodies)

    def run(self, source, entry_point, calls):
        try:
            return Session.run(self, source, entry_point, calls)
        except TypeError as error:
            return Run([Answer(error=f"TypeError: {error}")], 0.0)

    runner = type("Careful", (Runner,), {"open": lambda _: type("S", (Session,), {"run": run})()})
    write_jsonl(tmp_path / "p.jsonl", [PROBLEM])
    write_jsonl(tmp_path / "c.jsonl", [program])
    paths = {"problems": str(tmp_path / "p.jsonl"), "completions": str(tmp_path / "c.jsonl")}
    counts = distilling.distil(**paths, output=str(tmp_path / "d.jsonl"), runner=runner())
    assert counts == {"whole": 0, "helpers": 1}


def test_what_the_search_did_not_solve_is_passed_over(tmp_path):
    sample = Completion(task_id="chain", completion="    return s\n", sample_index=0)
    second = Completion(**vars(composed((0, 4))) | {"sample_index": 1})
    assert distil(tmp_path, sample, second) == ({"whole": 0, "helpers": 0}, {})


def test_nothing_of_tests_and_references_is_written(tmp_path, monkeypatch):
    poisoned = Problem(
        **vars(PROBLEM)
        | {"test": "SECRET", "canonical_solution": "SECRET", "extra": {"a": "SECRET"}}
    )
    monkeypatch.setitem(globals(), "PROBLEM", poisoned)
    _, rows = distil(tmp_path, composed((0, 2), (2, 4)))
    assert len(rows) == 2
    assert "SECRET" not in (tmp_path / "distilled.jsonl").read_text()


def test_errors_are_one_line(tmp_path):
    stranger = Completion(**vars(composed((0, 4))) | {"task_id": "other"})
    with pytest.raises(InputError, match="'other' is no problem; set problems to the file"):
        distil(tmp_path, stranger)
    with pytest.raises(InputError, match="chain has two completions of sample_index 0"):
        distil(tmp_path, composed((0, 4)), composed((0, 4)))
    with pytest.raises(InputError, match="no completions; expected JSON Lines of completions"):
        distil(tmp_path)
    (tmp_path / "distilled.jsonl").write_text(json.dumps({"task_id": "mine"}) + "\n")
    with pytest.raises(InputError, match="set output to a new file"):
        distil(tmp_path, composed((0, 4)))


@pytest.mark.parametrize("text", ["    return s +\n", "    def step_1():\n        return s\n"])
def test_completions_that_are_not_composed_are_refused(tmp_path, text):
    completion = dataclasses.replace(composed((0, 4)), completion=text)
    with pytest.raises(InputError, match="set completions to what solve wrote"):
        distil(tmp_path, completion)


@pytest.mark.parametrize("form", distilling.FORMS)
def test_one_form_alone(tmp_path, form):
    counts, rows = distil(tmp_path, composed((0, 2), (2, 4)), forms=(form,))
    assert counts == {form: 1}
    assert list(rows) == [form]


@pytest.mark.parametrize("forms", [(), ("hole",), ("whole", "both"), "whole", "", ("whole",) * 2])
def test_other_forms_are_refused_before_anything_is_written(tmp_path, forms):
    with pytest.raises(InputError, match=r"forms (is .*; set it to one or both of|has .* twice)"):
        distil(tmp_path, composed((0, 2), (2, 4)), forms=forms)
    assert not (tmp_path / "distilled.jsonl").exists()
