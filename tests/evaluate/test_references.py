"""References first: what is carried, what is judged in-process, and what is left out by name."""

import json

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.judging import pool as pool_module
from codex_jax.evaluate.judging.pool import Pool
from codex_jax.evaluate.languages import registry
from codex_jax.evaluate.report.html_report import write_report
from tests.evaluate.reference_pairs import CARRIED, IN_PROCESS


def problem(name: str, program: str, test: str, **fields) -> records.Problem:
    body = "".join(f"    {line}\n" for line in test.splitlines())
    fields = {"prompt": "", "canonical_solution": program, "entry_point": "f"} | fields
    test = f"def check(c):\n{body}" if body else ""
    return records.Problem(task_id=name, test=test, **fields)


def run(
    folder, problems, samples, **settings
) -> tuple[dict, dict[tuple[str, int], records.Verdict]]:
    """The report, and the rows by (task_id, index)."""
    records.write_jsonl(folder / "p.jsonl", problems)
    lines = [json.dumps({"task_id": t, "completion": c}) + "\n" for t, c in samples]
    (folder / "c.jsonl").write_text("".join(lines))
    files = {"problems": str(folder / "p.jsonl"), "completions": str(folder / "c.jsonl")}
    settings = {"sandbox": "bubblewrap", "ks": (1,), **settings}
    report = evaluate(**files, output=str(folder / "out"), **settings)
    return report, read_rows(folder)


def read_rows(folder) -> dict[tuple[str, int], records.Verdict]:
    rows = records.read_jsonl(folder / "out" / "verdicts.jsonl", records.Verdict)
    return {(row.task_id, row.sample_index): row for row in rows}


def run_left_out(
    folder, task, sample, **settings
) -> tuple[dict, dict[tuple[str, int], records.Verdict]]:
    """Files of a run that ends in an error, and has judged nothing, with what `run` returns."""
    with pytest.raises(InputError, match="no program was judged, since all problems are left out"):
        run(folder, [task], [(task.task_id, sample)], **settings)
    return json.loads((folder / "out" / "report.json").read_text()), read_rows(folder)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Every pair in one evaluation: a right program and a wrong one for each."""
    pairs = {**CARRIED, **IN_PROCESS}
    for name, pair in pairs.items():
        assert pair.right in pair.program, name
    problems = [problem(name, pair.program, pair.test) for name, pair in pairs.items()]
    samples = [
        (name, program)
        for name, pair in pairs.items()
        for program in (
            pair.program + "# right\nN = 1\n",
            pair.program.replace(pair.right, pair.wrong),
        )
    ]
    return run(tmp_path_factory.mktemp("pairs"), problems, samples)


@pytest.mark.parametrize("name", [*CARRIED, *IN_PROCESS])
def test_an_honest_reference_passes_and_a_wrong_program_does_not(judged, name):
    report, rows = judged
    right, wrong = rows[name, 0], rows[name, 1]
    assert right.verdict == "passed", right
    assert wrong.verdict == "failed", wrong
    mode = "in-process" if name in IN_PROCESS else "outside"
    assert right.extra["mode"] == wrong.extra["mode"] == mode
    assert (name in report["references"]["judged_in_process"]) == (mode == "in-process")


def test_a_problem_whose_reference_fails_everywhere_is_left_out_by_name(tmp_path, capsys):
    """Its samples have no verdict, and pass@k is that of the others; html and Markdown say so."""
    problems = [
        problem("good", "def f(n): return n + 1\n", "assert c(1) == 2"),
        problem("bad", "def f(n): return n\n", "assert c(1) == 2"),
    ]
    samples = [
        (name, program)
        for name in ("good", "bad")
        for program in ("def f(n): return 1 + n\n", "def f(n): return 2\n", "def f(n): return 3\n")
    ]
    report, rows = run(tmp_path, problems, samples)
    assert {rows["bad", i].verdict for i in range(3)} == {"left out"}
    assert "wrong_answer" in rows["bad", 0].detail
    assert report["problems"] == 1
    assert report["pass_at_k"]["1"]["mean"] == pytest.approx(2 / 3)
    assert report["selection"]["oracle"] == 1.0
    assert list(report["references"]["left_out"]) == ["bad"]
    assert "left out: bad (wrong_answer" in capsys.readouterr().out
    assert "left out: bad" in (tmp_path / "out" / "report.md").read_text()
    write_report(
        output=str(tmp_path / "r.html"),
        problems=str(tmp_path / "p.jsonl"),
        completions=str(tmp_path / "c.jsonl"),
        verdicts=str(tmp_path / "out" / "verdicts.jsonl"),
        ks=(1,),
    )
    page = (tmp_path / "r.html").read_text()
    assert "left out: bad" in page
    assert "66.7 %" in page


def test_references_are_judged_once_and_again_when_they_change(tmp_path, monkeypatch):
    judged: list = []
    real = Pool.judge
    monkeypatch.setattr(Pool, "judge", lambda pool, jobs: judged.extend(jobs) or real(pool, jobs))
    pair = IN_PROCESS["closure"]
    samples = [("t", pair.program + "N = 1\n"), ("t", pair.program + "N = 2\n")]
    run(tmp_path, [problem("t", pair.program, pair.test)], samples)
    assert len(judged) == 4  # the reference outside and in-process, and the samples
    run(tmp_path, [problem("t", pair.program, pair.test)], samples)
    assert len(judged) == 4
    _, rows = run(tmp_path, [problem("t", pair.program, pair.test)], [*samples, ("t", "f = len")])
    assert len(judged) == 5
    assert [rows["t", i].verdict for i in range(3)] == ["passed", "passed", "failed"]
    other = problem("t", pair.program + "# another\n", pair.test)
    run(tmp_path, [other], samples)
    assert len(judged) == 9  # the problem has changed: nothing holds any more


def test_a_test_that_sends_a_function_is_judged_in_process_without_a_reference_too(tmp_path):
    without = problem("t", "", "assert c(len, 'ab') == 2")
    report, rows = run(tmp_path, [without], [("t", "def f(g, x): return g(x)\n"), ("t", "f = 1")])
    assert [rows["t", i].verdict for i in range(2)] == ["passed", "failed"]
    assert report["references"] == {"checked": 0, "judged_in_process": ["t"], "left_out": {}}


def test_a_reference_that_raises_in_the_judge_leaves_its_problem_out(tmp_path):
    """HumanEval+'s expected answers are those of the reference, which is run by the judge."""
    inputs = {"base_input": [[0]], "plus_input": []}
    bad = problem("t", "def f(n): return 1 // n\n", "", extra=inputs)
    _, rows = run_left_out(tmp_path, bad, "def f(n): return 0\n")
    assert rows["t", 0].verdict == "left out"
    assert "ZeroDivisionError" in rows["t", 0].detail


def test_another_language_s_reference_is_run_too(tmp_path):
    if reason := registry.absence("bash", ""):
        pytest.skip(f"bash is {reason}")
    bash = {"language": "bash", "mode": "in-process"}
    fields = {"prompt": "f() {\n", "test": "}\n[[ $(f) = 7 ]] || exit 1", "extra": bash}
    problems = [
        records.Problem(task_id="good", canonical_solution="echo 7", **fields),
        records.Problem(task_id="bad", canonical_solution="echo 8", **fields),
    ]
    samples = [("good", "echo $((3 + 4))"), ("good", "echo 9"), ("bad", "echo 7")]
    report, rows = run(tmp_path, problems, samples)
    verdicts = [rows[key].verdict for key in (("good", 0), ("good", 1), ("bad", 0))]
    assert verdicts == ["passed", "failed", "left out"]
    assert report["references"]["judged_in_process"] == []


@pytest.mark.parametrize("reference", ["def f(n): return n + 1\n", ""])
@pytest.mark.parametrize(
    "test",
    [
        "x = 1\n",
        "def check(c):\n    pass\n",
        "def check(c):\n    for n in []:\n        assert c(n) == n + 1\n",
        "def check(c):\n    assert callable(c)\n",
        " \n",
    ],
    ids=["no check", "an empty check", "no cases", "no call", "blank"],
)
def test_a_test_that_never_calls_the_program_shows_nothing(tmp_path, test, reference):
    task = records.Problem(
        task_id="t", prompt="", entry_point="f", test=test, canonical_solution=reference
    )
    report, rows = run_left_out(tmp_path, task, "def f(n): return 0\n")
    assert rows["t", 0].verdict == "left out"
    assert rows["t", 0].detail == "its test passed without a call of the program"
    assert report["problems"] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"test": "import os\ndef check(c):\n    os._exit(0)\n"},
        {"test": "import os\ndef check(c):\n    c(1)\n    os._exit(3)\n"},
        {"canonical_solution": "import os\ndef f(n): os._exit(0)\n"},
    ],
)
def test_what_ends_the_judge_itself_is_left_out_by_name(tmp_path, monkeypatch, fields):
    monkeypatch.setattr(pool_module, "_PAUSE_S", 0.0)
    good = problem("good", "", "assert c(1) == 2")
    bad = records.Problem(**vars(good) | {"task_id": "bad"} | fields)
    samples = [(name, "def f(n): return n + 1\n") for name in ("bad", "good")]
    report, rows = run(tmp_path, [bad, good], samples)
    assert rows["good", 0].verdict == "passed"
    reason = report["references"]["left_out"]["bad"]
    # A slow machine stops the reference's calls in the judge before they end it.
    is_stopped = "canonical_solution" in fields and "exit status 0 before its last" in reason
    assert "ends the judge, with status" in reason or is_stopped
