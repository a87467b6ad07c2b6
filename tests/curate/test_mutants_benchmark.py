"""benchmarks/curate_mutants.py: its mutants, its inputs, and what a weak and a strong test fail."""

import argparse
import ast
import random

import curate_mutants as benchmark
import pytest

from codex_jax.curate.execution import Call

PROMPT = 'def clip(x, low=0):\n    """Returns x, or low where x is less."""\n'
BODY = "    if x < low:\n        return low\n    return x\n"
STRONG = "def check(candidate):\n    assert candidate(3) == 3\n    assert candidate(-2) == 0\n"
STRONG += "    assert candidate(3, low=5) == 5\n"
WEAK = "def check(candidate):\n    assert candidate(0) is not 1\n"


def test_a_mutant_differs_in_one_node_and_is_python():
    source = PROMPT + BODY
    mutants = benchmark.make_mutants(source, "clip", random.Random(0), 100)
    texts = [text for _, text in mutants]
    assert len(set(texts)) == len(texts)
    original = ast.unparse(ast.parse("def clip(x, low=0):\n" + BODY))
    assert original not in texts
    assert original.replace("x < low", "x <= low") in texts
    assert original.replace("if x < low", "if not x < low") in texts
    assert original.replace("return x", "return None") in texts
    assert "low=1" not in str(texts), "defaults stay"
    assert texts == [t for _, t in benchmark.make_mutants(source, "clip", random.Random(0), 100)]
    assert len(benchmark.make_mutants(source, "clip", random.Random(0), 2)) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [("3", "4"), ("True", "False"), ("'ab'", "'a'"), ("''", "'x'"), ("b''", "b'x'")],
)
def test_changed_constants(before, after):
    mutants = benchmark.make_mutants(f"def f(x):\n    return {before}", "f", random.Random(0), 9)
    assert ("change_constant", f"def f(x):\n    return {after}") in mutants


def test_calls_of_a_test_and_their_mutants():
    check = (
        "def check(candidate):\n    assert candidate('a', n=2) == 1\n"
        "    arguments = [[1, 2]]\n    assert candidate(*arguments) is None\n"
        "    assert arguments == [[2, 1]]\n"
    )
    seeds = benchmark.calls_in(check)
    assert seeds == [Call(("a",), {"n": 2}), Call(([1, 2],), {})]
    calls = benchmark.fuzz(seeds, [], random.Random(0), 50)
    assert calls[:2] == seeds
    assert len({repr(call) for call in calls}) == len(calls) == 50
    assert {tuple(map(type, call.arguments)) for call in calls} == {(str,), (list,)}
    assert benchmark.fuzz([], [], random.Random(0), 50) == []


def test_a_weak_test_lets_mutants_pass(session):
    options = argparse.Namespace(mutants=20, inputs=40, seed=0)
    rows = {}
    for name, test in (("strong", STRONG), ("weak", WEAK)):
        fields = {"task_id": "t", "entry_point": "clip", "shadow": STRONG, "test": test}
        problem = fields | {"prompt": PROMPT, "canonical_solution": BODY}
        rows[name] = benchmark.Measurement(session, options).measure(problem)
    differing = [row for row in rows["strong"] if row["differs"]]
    assert differing
    assert all(row["fails"] for row in differing)
    equal = [row for row in rows["strong"] if "x <= low" in row["program"]]
    assert [row["differs"] for row in equal] == [False], "the same function"
    assert not any(row["fails"] for row in equal)
    assert sum(row["fails"] for row in rows["weak"]) < len(differing)
    text = benchmark.report(rows["strong"])
    assert f"{len(differing)} of these fail `test` (100.0%)" in text
    assert f"| negate | {sum(row['change'] == 'negate' for row in differing)} |" in text


def test_a_mutant_that_ends_early_differs_and_fails(session):
    source = "def f(x):\n    import os\n    return x + 1\n"
    test = "def check(candidate):\n    assert candidate(2) == 3\n"
    measurement = benchmark.Measurement(session, argparse.Namespace(mutants=0, inputs=5, seed=0))
    leaving = source.replace("return x + 1", "os._exit(0)")
    cases = measurement._answer(source, "f", [Call((2,), {}), Call(("a",), {})])
    assert [call.arguments for call, _ in cases] == [(2,)], "the other raises"
    assert measurement._differs(leaving, "f", cases)
    assert not measurement._passes(leaving, "f", test)
    assert measurement._passes(source, "f", test)
