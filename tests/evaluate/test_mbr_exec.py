"""Agreement of outputs on inputs that nobody gave answers to."""

import json

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.metrics import mbr_exec


def problem(prompt: str, entry_point: str = "f", **extra) -> records.Problem:
    test = "def check(candidate):\n    assert candidate(7) == 14\n"
    return records.Problem(
        task_id="t", prompt=prompt, entry_point=entry_point, test=test, extra=extra
    )


DOUBLE = problem('def f(n):\n    """Twice n: f(2) == 4, f([x for x in y]) isn\'t."""\n')


def test_inputs_come_from_examples_then_vary_and_stay_the_same():
    inputs = mbr_exec.generate_inputs(DOUBLE)
    assert inputs[0] == [2]
    assert len(inputs) == mbr_exec.INPUTS
    assert inputs == mbr_exec.generate_inputs(DOUBLE)
    assert all(type(value) is int for (value,) in inputs)
    texts = mbr_exec.generate_inputs(
        problem('def f(s, l):\n    """>>> f("ab", [(1, 2.5), {}])\n"""\n')
    )
    assert texts[0] == ["ab", [(1, 2.5), {}]]
    assert all(isinstance(s, str) and isinstance(items, list) for s, items in texts)


def test_inputs_come_from_annotations_where_there_is_no_example():
    inputs = mbr_exec.generate_inputs(problem("def f(n: int, words: List[str]) -> int:\n"))
    assert inputs[0] == [5, ["b", "a", "abc"]]
    assert mbr_exec.generate_inputs(problem("def f(n: Tree) -> int:\n")) == []
    assert mbr_exec.probe_problems({"t": problem("def f(n):\n")}) == {}
    assert mbr_exec.probe_problems({"t": problem("def f(n: int):\n", mode="in-process")}) == {}


@pytest.mark.parametrize("deep", ["-" * 20_000 + "1", "[0] + " * 3500 + "[1]", "x" + ".x" * 900])
def test_an_example_that_is_too_deep_is_passed_over(deep):
    prompt = f'def f(n: int):\n    """Like f({deep}), f(2)."""\n'
    assert list(mbr_exec._examples(problem(prompt))) == [[2]]
    assert list(mbr_exec._from_annotations(problem(f"def f(n: {deep}):\n"))) == []


def test_what_most_answer_is_chosen(tmp_path):
    """The right answer in three guises outvotes two equal wrong ones, an exit and a loop."""
    bodies = ["n + n", "2 * n", "n << 1", "n + 2", "2 + n", "exit()", "[0 for _ in iter(int, 1)]"]
    records.write_jsonl(tmp_path / "p.jsonl", [DOUBLE])
    rows = [
        records.Completion(task_id="t", completion=f"    return {body}\n", sample_index=i)
        for i, body in enumerate(bodies)
    ]
    records.write_jsonl(tmp_path / "c.jsonl", rows)
    settings = {
        "problems": str(tmp_path / "p.jsonl"),
        "completions": str(tmp_path / "c.jsonl"),
        "sandbox": "bubblewrap",
        "timeout_s": 1.5,
    }
    report = evaluate(**settings, output=str(tmp_path / "out"), mbr_exec=True)
    assert report["selection"]["mbr_exec"] == 1.0
    assert report["selection"]["random"] == pytest.approx(3 / 7)
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| mbr_exec | 100.0% |" in text
    assert "| wrong answer | 2 |" in text
    again = evaluate(
        **settings,
        output=str(tmp_path / "again"),
        baseline=str(tmp_path / "out" / "verdicts.jsonl"),
    )
    assert again["paired"]["difference"] == 0.0
    assert again == json.loads((tmp_path / "again" / "report.json").read_text())
    with pytest.raises(InputError, match="no such file"):
        evaluate(**settings, output=str(tmp_path / "third"), baseline=str(tmp_path / "nothing"))
