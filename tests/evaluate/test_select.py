"""The choice of programs in the real sandbox: what decides, and that nothing hidden does."""

import dataclasses
import json

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.report.html_report import write_report
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.evaluate.select import select as selecting

PROMPT = 'def f(n: int):\n    """Double n, as in f(2) == 4."""\n'
# Right; three that agree and are wrong; hostile ones.
BODIES = [
    "return n + n",
    "return n * n",
    "return n ** 2",
    "return n * n + 0",
    "return 4",
    "while True: pass",
    "return f(n)",
    "print('4' * 10**6)",
    "return open('/etc/passwd').read()",
    "import os; os._exit(0)",
    "n.append(4)",
    "return 4 if n == 2 else",
]
TEST = "def check(candidate):\n    assert candidate(7) == 14\n"


@pytest.fixture(scope="module")
def runner(sandbox_name):
    return ProgramRunner(sandbox=sandbox_name, timeout_s=0.5)


def write(folder, *, bodies=BODIES[:5], prompt=PROMPT, sample=(), **fields):
    problem = records.Problem(task_id="t", prompt=prompt, entry_point="f", **fields)
    records.write_jsonl(folder / "problems.jsonl", [problem])
    rows = [
        {"task_id": "t", "completion": f"    {body}\n", "sample_index": i, **dict(sample)}
        for i, body in enumerate(bodies)
    ]
    (folder / "completions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {name: str(folder / f"{name}.jsonl") for name in ("problems", "completions")}


def choose(folder, runner, **fields):
    output = folder / "selection.jsonl"
    assert selecting.select(**write(folder, **fields), output=str(output), runner=runner) == 1
    (row,) = records.read_jsonl(output, records.Completion)
    return row


def test_the_prompt_decides_against_the_majority_and_hostile_programs(tmp_path, runner):
    """Three of the four that satisfy f(2) == 4 behave alike: they are chosen."""
    row = choose(tmp_path, runner, bodies=BODIES)
    assert row.completion == "    return n * n\n"
    assert (row.extra["votes"], row.extra["examples"]) == (3, 1)
    evidence = row.extra["evidence"]
    assert [fields["examples"] for fields in evidence] == [1.0] * 5 + [0.0] * 7
    assert [fields["crashed"] for fields in evidence] == [False] * 5 + [True] * 7
    more = choose(tmp_path, runner, prompt=PROMPT.replace("4.", "4, f(3) == 6."))
    assert more.completion == "    return n + n\n"
    assert more.extra["votes"] == 1


def test_tests_that_the_model_writes_decide(tmp_path, runner):
    arguments = write(tmp_path)
    tests = [{"task_id": "t", "completion": "3) == 6\nassert f(5) == 10\nassert f(1) == 3\n"}]
    (tmp_path / "tests.jsonl").write_text(json.dumps(tests[0]) + "\n")
    output = tmp_path / "selection.jsonl"
    settings = {
        "output": str(output),
        "runner": runner,
        "model_tests": str(tmp_path / "tests.jsonl"),
    }
    selecting.select(**arguments, **settings)
    (row,) = records.read_jsonl(output, records.Completion)
    assert row.completion == "    return n + n\n"
    assert row.extra["tests"] == 3
    assert row.extra["evidence"][0]["tests"] == [0, 1]


def test_no_test_reference_or_verdict_reaches_the_selection(tmp_path, runner):
    """Poisoned fields change no byte of what it writes."""
    written = []
    for name, fields in {
        "without": {},
        "with": {
            "test": "SECRET: f(2) == 9",
            "canonical_solution": "    return 'SECRET'\n",
            "extra": {"plus_input": [["SECRET"]], "base_input": [[2]], "language": "python"},
            "sample": {"passed": True, "verdict": "SECRET", "seconds": 1.0},
        },
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        choose(folder, runner, **fields)
        written.append((folder / "selection.jsonl").read_bytes())
    assert written[0] == written[1]
    assert b"SECRET" not in written[1]


def test_a_second_run_runs_nothing_and_a_changed_sample_runs(tmp_path, runner, monkeypatch):
    first = choose(tmp_path, runner)
    calls = []
    real = selecting.collect_evidence
    monkeypatch.setattr(
        selecting,
        "collect_evidence",
        lambda task, session: calls.append(task) or real(task, session),
    )
    assert choose(tmp_path, runner) == first
    assert calls == []
    choose(tmp_path, runner, bodies=["return 2 * n"])
    assert len(calls) == 1


def test_an_interrupted_file_is_continued(tmp_path, runner):
    first = choose(tmp_path, runner)
    with (tmp_path / "selection.jsonl").open("a") as file:
        file.write('{"task_id": "t", "compl')
    assert choose(tmp_path, runner) == first


def test_evaluate_writes_the_selection_its_curve_and_the_report(tmp_path, runner):
    arguments = write(tmp_path, bodies=["return n + n", "return n * n", "return 1"], test=TEST)
    report = evaluate(
        **arguments, output=str(tmp_path / "out"), ks=(1,), sandbox=runner.sandbox, select=True
    )
    assert report["selection_curves"]["oracle"]["1"]["mean"] == pytest.approx(1 / 3)
    assert report["selection_curves"]["prompt"]["1"]["problems"] == 1
    assert "| chosen of | 1 |" in (tmp_path / "out" / "report.md").read_text()
    page = tmp_path / "report.html"
    paths = {name: str(tmp_path / "out" / f"{name}.jsonl") for name in ("verdicts", "selection")}
    settings = {"verdicts": paths["verdicts"], "selected": paths["selection"]}
    write_report(**arguments, **settings, output=str(page))
    assert "samples to choose from" in page.read_text()
    with pytest.raises(
        InputError, match="lacks evidence; set selected to what evaluate select wrote"
    ):
        write_report(
            **arguments, **settings | {"selected": arguments["completions"]}, output=str(page)
        )


def test_a_chosen_program_is_a_completion_that_can_be_judged(tmp_path, runner):
    choose(tmp_path, runner, prompt=PROMPT.replace("4.", "4, f(3) == 6."), test=TEST)
    paths = {"problems": str(tmp_path / "problems.jsonl"), "output": str(tmp_path / "out")}
    chosen = str(tmp_path / "selection.jsonl")
    report = evaluate(**paths, completions=chosen, ks=(1,), sandbox=runner.sandbox)
    assert report["pass_at_k"]["1"]["mean"] == 1.0


def test_another_file_is_not_replaced(tmp_path, runner):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="set output to a new file"):
        selecting.select(**write(tmp_path), output=str(tmp_path / "notes.txt"), runner=runner)
    with pytest.raises(
        InputError, match=r"select\.workers is -1; set it to a whole number, 0 or more"
    ):
        selecting.select(**write(tmp_path), output="x", runner=runner, workers=-1)


def test_inputs_are_not_replaced(tmp_path, runner):
    choose(tmp_path, runner)
    output = str(tmp_path / "selection.jsonl")
    problems = str(tmp_path / "problems.jsonl")
    with pytest.raises(InputError, match="is an input"):
        selecting.select(problems=problems, completions=output, output=output, runner=runner)


def test_the_models_tests_need_select(tmp_path):
    with pytest.raises(InputError, match="set select to True"):
        evaluate(problems="p", completions="c", output=str(tmp_path), model_tests="tests.jsonl")


def test_programs_may_import_packages(tmp_path, runner):
    runner = dataclasses.replace(runner, timeout_s=5.0, packages=["numpy"])
    bodies = ["import numpy; return int(numpy.square(n))", "return n + 9"]
    assert "numpy" in choose(tmp_path, runner, bodies=bodies).completion
