"""Runs over packages: one that crashes or hangs costs itself alone; a second run does the rest."""

import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from codex_jax import InputError, records
from codex_jax.curate import package_runs

PROBLEM = {"task_id": "t", "prompt": "p", "entry_point": "f", "test": "x", "documented": True}


def make_result(path: pathlib.Path, tally: package_runs.Tally) -> package_runs.Result:
    if "crash" in path.name:
        os._exit(7)
    if "deaf" in path.name:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(600)
    if "hang" in path.name:
        fields = {**PROBLEM, "task_id": path.name}
        tally.add_problem(records.parse_record(json.dumps(fields), records.Problem, where=""))
        (path.parent / "new").write_text(str(os.getpid()))
        (path.parent / "new").rename(path.parent / "pid")
        time.sleep(600)
    (path.parent / "log").open("a").write(path.name + "\n")
    tally.add("long class", "m.f")
    documented = "odd" not in path.name
    fields = {**PROBLEM, "task_id": path.name, "documented": documented}
    tally.add_problem(records.parse_record(json.dumps(fields), records.Problem, where=""))
    return tally.result(note=1)


def run(tmp_path, names, timeout_s=60.0):
    paths = [tmp_path / name for name in names]
    folder = package_runs.claim(str(tmp_path / "out"), "settings")
    package_runs.run(paths, make_result, folder, workers=2, package_timeout_s=timeout_s)
    return folder


def test_a_crash_is_a_row_and_a_second_run_continues(tmp_path, capsys):
    folder = run(tmp_path, ["a-1.tar.gz", "crash-1.tar.gz"])
    report = json.loads((folder / "report.json").read_text())
    assert report["packages"] == 2
    assert report["problems"] == 1
    assert report["reasons"]["package: its process ended with status 7"] == 1
    folder = run(tmp_path, ["a-1.tar.gz", "crash-1.tar.gz", "odd-1.tar.gz"])
    assert (tmp_path / "log").read_text().split() == ["a-1.tar.gz", "odd-1.tar.gz"]
    problems = list(records.read_jsonl(folder / "problems.jsonl", records.Problem))
    undocumented = list(records.read_jsonl(folder / "undocumented.jsonl", records.Problem))
    assert [p.task_id for p in problems + undocumented] == ["a-1.tar.gz", "odd-1.tar.gz"]
    assert "| long class | 2 |" in (folder / "report.md").read_text()
    assert "2 problems from 2 of 3 packages" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["problems.jsonl", "undocumented.jsonl"])
def test_a_persons_problems_are_not_replaced(tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text('{"task_id": "mine"}\n')
    with pytest.raises(InputError, match=f"holds '{name}', which this command"):
        run(tmp_path, [])
    assert (tmp_path / "out" / name).read_text() == '{"task_id": "mine"}\n'


def test_a_package_that_never_ends_is_given_up(tmp_path):
    folder = run(tmp_path, ["hang-1.zip"], timeout_s=1.0)
    report = json.loads((folder / "report.json").read_text())
    assert report["reasons"] == {"made a problem": 1, "package: took too long": 1}  # what it had
    assert report["problems"] == 1


def test_a_package_that_takes_no_alarm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(package_runs, "_GRACE_S", 0.5)
    folder = run(tmp_path, ["deaf-1.zip"], timeout_s=1.0)
    reasons = json.loads((folder / "report.json").read_text())["reasons"]
    assert reasons == {"package: took too long": 1}


def test_an_example_is_one_cell_of_a_table():
    tally = package_runs.Tally("p")
    tally.add("r", "a|b`c\nd\ud800")
    table = package_runs.table(package_runs.summarize([tally.result()]))
    assert table.splitlines()[-1] == "| r | 1 | 100.0 % | `p: a\\|b'c d\\ud800` |"


def test_no_process_outlives_a_killed_parent(tmp_path):
    """`make_result` would go on for ten minutes."""
    program = """if __name__ == "__main__":
    import pathlib, sys
    from tests.curate import test_package_runs
    test_package_runs.run(pathlib.Path(sys.argv[1]), ["hang-1.zip"], timeout_s=600.0)
"""
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=environment) as parent:
        hangs = tmp_path / "pid"
        assert comes_true(hangs.exists)
        parent.kill()
    child = pathlib.Path("/proc") / hangs.read_text()
    assert comes_true(lambda: has_ended(child))


def has_ended(process):
    """Whether a process is gone, or a zombie, which nobody waits for in some containers."""
    try:
        return ") Z " in (process / "stat").read_text()
    except OSError:
        return True


def comes_true(condition):
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_examples_are_few():
    tally = package_runs.Tally("p")
    for n in range(9):
        tally.add("r", f"f{n}")
    assert tally.result()["examples"] == {"r": ["p: f0", "p: f1", "p: f2"]}
    assert tally.result()["reasons"] == {"r": 9}


def test_bad_settings_and_strange_folders(tmp_path):
    for name, value in (("workers", -1), ("per_package", -1), ("package_timeout_s", 0.0)):
        with pytest.raises(InputError, match=rf"a\.{name} is {value}; set it to"):
            package_runs.check_settings("a", **{name: value})
    for value in (0.0, -1.0, math.nan, math.inf, 1e10):
        with pytest.raises(InputError, match=r"tests_timeout_s is .*above 0 and at most 1000000"):
            package_runs.check_settings("a", package_timeout_s=1.0, tests_timeout_s=value)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="which this command didn't write"):
        package_runs.claim(str(tmp_path), "settings")


def test_versions_of_a_package_have_results_of_their_own(tmp_path):
    names = ["a-1.0.tar.gz", "a-2.0.tar.gz", "a-1.0-py3-none-any.whl"]
    stems = [package_runs._stem(tmp_path / name) for name in names]
    assert stems == ["a-1.0", "a-2.0", "a-1.0"]


def test_a_long_name_has_a_result_of_its_own(tmp_path):
    names = [f"{'n' * 240}{end}.zip" for end in "ab"] + [f"{'é' * 120}-1.0.whl", "\udcff-1.0.zip"]
    stems = [package_runs._stem(tmp_path / name) for name in names]
    assert len(set(stems)) == 4
    for stem in stems:
        package_runs._write(tmp_path / f"{stem}.json", {"package": "p"})
    assert len(list(tmp_path.glob("*.json"))) == 4


@pytest.mark.parametrize(("documented", "counts"), [(True, (1, 0)), (False, (0, 1))])
def test_problems_of_two_versions_count_as_they_are_written(tmp_path, documented, counts):
    fields = {"task_id": "a/f", "prompt": "def f(): pass\n", "documented": documented}
    row = {"package": "a", "reasons": {}, "examples": {}, "problems": [fields]}
    paths = [tmp_path / f"a-{version}.json" for version in (1, 2)]
    for path in paths:
        package_runs._write(path, row)
    package_runs.write_joined(tmp_path, paths)
    files = [tmp_path / name for name in ("problems.jsonl", "undocumented.jsonl")]
    assert tuple(path.read_text().count("\n") for path in files) == counts
    assert json.loads((tmp_path / "report.json").read_text())["problems"] == 1
