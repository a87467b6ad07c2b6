"""A sweep over a toy program: its runs, what it does again, its table."""

import json
import pathlib
import sys

import pytest

from codex_jax import InputError
from codex_jax.main import cli, sweep

# Writes a loss that depends on the rate; "bad" fails until the file "mended" beside OUTPUT exists.
TOY = """
import json, pathlib, sys
flags = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
folder = pathlib.Path(flags["checkpoint_dir"])
with (folder / "calls").open("a") as calls: calls.write("x")
if flags["rate"] == "bad" and not (folder.parent.parent / "mended").exists():
    sys.exit(int(flags["status"]))
rate = 0.0 if flags["rate"] == "bad" else float(flags["rate"])
lines = [{"step": s, "loss": rate / s} for s in (1, 2)]
(folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\\n" for line in lines))
"""
GRID = {"rate": (4.0, 2.0), "gin.train.seed": (0, 1)}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    path = tmp_path / "toy.py"
    path.write_text(TOY)
    monkeypatch.setattr(sweep, "PROGRAM", (sys.executable, str(path)))
    monkeypatch.setattr(sweep, "check_settings", lambda *_: None)  # those of no command of ours
    return tmp_path / "runs"


def run(output, grid, command="train"):
    flags = [f"--command={command}", f"--grid={grid!r}", f"--output={output}"]
    return cli.main(["sweep", *flags])


def count_calls(output: pathlib.Path) -> dict[str, int]:
    return {path.parent.name: len(path.read_text()) for path in output.glob("*/calls")}


def test_every_combination_runs_once_in_its_folder(toy, capfd):
    assert run(toy, GRID) == 0
    names = ["rate=4.0,seed=0", "rate=4.0,seed=1", "rate=2.0,seed=0", "rate=2.0,seed=1"]
    assert count_calls(toy) == dict.fromkeys(names, 1)
    rows = json.loads((toy / "runs.json").read_text())
    assert [row["loss"] for row in rows] == [1.0, 1.0, 2.0, 2.0]
    assert {(row["status"], row["step"]) for row in rows} == {(0, 2)}
    assert "<svg" in (toy / "sweep.svg").read_text()
    output = capfd.readouterr().out
    assert "[2/4] codex-jax train --rate=4.0 --gin.train.seed=1 --checkpoint_dir=" in output
    assert "rate=2.0,seed=0  0       2     1.0000" in output


def test_a_folder_that_cannot_be_created_is_one_line(toy, capfd):
    assert run("/proc/x", GRID) == 2
    assert "/proc/x: nothing can be created in /proc; set output" in capfd.readouterr().err
    assert not toy.exists()


def test_a_failure_is_named_and_alone_runs_again(toy, capfd):
    grid = {"rate": ("bad", 3.0)}
    assert run(toy, grid, "train --status=7") == 2
    assert "1 of 2 runs failed: rate=bad" in capfd.readouterr().err
    assert [path.name for path in (toy / "rate=bad").iterdir()] == ["calls"]  # the command's alone
    (toy.parent / "mended").touch()
    assert run(toy, grid, "train --status=7") == 0
    assert count_calls(toy) == {"rate=bad": 2, "rate=3.0": 1}


def test_a_preempted_run_ends_the_sweep_with_its_status(toy):
    with pytest.raises(SystemExit) as error:
        run(toy, {"rate": ("bad", 3.0)}, "train --status=75")
    assert error.value.code == 75
    assert count_calls(toy) == {"rate=bad": 1}


def test_runs_of_another_command_are_refused(toy, capfd):
    assert run(toy, GRID) == 0
    assert run(toy, GRID, "train --steps=9") == 2
    assert "holds the run of another command; set another output" in capfd.readouterr().err
    assert set(count_calls(toy).values()) == {1}


def test_a_killed_sweep_goes_on(toy):
    """A killed sweep leaves a record without a status, and a torn line."""
    assert run(toy, GRID) == 0
    (toy / "runs.json").unlink()
    (toy / "sweep.svg").unlink()
    record = toy / "rate=4.0,seed=0.run.json"
    record.write_text(json.dumps({"words": json.loads(record.read_text())["words"]}))
    metrics = toy / "rate=4.0,seed=1" / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"step": 3, "lo')
    assert run(toy, GRID) == 0
    assert count_calls(toy)["rate=4.0,seed=0"] == 2
    assert [row["step"] for row in json.loads((toy / "runs.json").read_text())] == [2] * 4


@pytest.mark.parametrize("name", ["notes.txt", "runs.json", "sweep.svg", "mine/x", "a.run.json"])
def test_a_folder_of_something_else_is_refused(toy, capfd, name):
    path = toy / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert run(toy, GRID) == 2
    assert "which this command didn't write; set output" in capfd.readouterr().err
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("command", "line"),
    [("train 'x", "No closing quotation; set it to words"), ("trian", "no command 'trian'")],
)
def test_a_command_that_is_none_is_refused(toy, capfd, command, line):
    assert run(toy, GRID, command) == 2
    assert line in capfd.readouterr().err
    assert not toy.exists()


def test_what_is_no_number_comes_last_and_an_absent_metric_is_told(tmp_path, capsys):
    runs = [sweep.Run(str(n), tmp_path / str(n), []) for n in range(3)]
    for run_, loss in zip(runs, ["NaN", "2", '"x"'], strict=True):
        run_.folder.mkdir()
        (run_.folder / "metrics.jsonl").write_text(f'{{"step": 1, "loss": {loss}}}\n')
    lines = sweep.write_results(runs, tmp_path, "loss").splitlines()
    assert [line.split()[0] for line in lines] == ["run", "1", "0", "2"]
    sweep.write_results(runs, tmp_path, "accuracy")
    assert "no run has 'accuracy' in its metrics.jsonl" in capsys.readouterr().out


CHAINS = "curate chains --seed=1 --train_chains=2"


@pytest.mark.parametrize(
    ("command", "grid", "line"),
    [
        (CHAINS, {"train_chains": (1, 1.0)}, "the run train_chains=1.0: --train_chains=1.0: "),
        (CHAINS, {"train_chain": (1, 2)}, "no setting --train_chain; did you mean train_chains?"),
        (f"{CHAINS} --help", {"seed": (1, 2)}, "has --help or --dry_run, and would do nothing"),
        (f"{CHAINS} x", {"seed": (1, 2)}, "the run seed=1: 'x': expected FILE.gin"),
        ("evaluate --timeout_s=2", {"timeout_s": (1, 1.0)}, "not set: evaluate.problems"),
        (
            "evaluate --problems=p --completions=c",
            {"timeout_s": (2, 1, 1.0)},
            "the runs timeout_s=1 and timeout_s=1.0 have equal settings; make their values",
        ),
    ],
)
@pytest.mark.parametrize("switches", [[], ["--dry_run"]])
def test_what_a_run_would_refuse_is_refused_before_the_first(
    tmp_path, capfd, command, grid, line, switches
):
    flags = [f"--command={command}", f"--grid={grid!r}", f"--output={tmp_path / 'runs'}"]
    assert cli.main(["sweep", *flags, "--folder_flag=output", *switches]) == 2
    assert line in capfd.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_dry_run_prints_the_commands(toy, capsys):
    flags = ["--command=train a.gin", f"--grid={GRID!r}", f"--output={toy}", "--dry_run"]
    assert cli.main(["sweep", *flags]) == 0
    assert capsys.readouterr().out.count("codex-jax train a.gin --rate=") == 4
    assert not toy.exists()


@pytest.mark.parametrize(
    ("grid", "line"),
    [
        ({}, "nothing to sweep over"),
        ({"rate": ()}, "expected a tuple of values"),
        ({"rate": ("a b", "a_b")}, "two points of the grid have the same name"),
        ({"": (1, 2)}, "grid names ''; expected a setting's name"),
        ({"--seed": (1, 2)}, "grid names '--seed'; expected a setting's name"),
        ({"seed=1": (1, 2)}, "grid names 'seed=1'; expected a setting's name"),
        ({"a b": (1,)}, "grid names 'a b'; expected a setting's name"),
        ({"checkpoint_dir": ("a", "b")}, "grid names 'checkpoint_dir', each run's own folder"),
        ({"checkpoint-dir": ("a", "b")}, "grid names 'checkpoint-dir', each run's own folder"),
        ({"gin.train.checkpoint_dir": ("a",)}, "grid names 'gin.train.checkpoint_dir', each run"),
        ({"rate": (1, "b" * 300)}, "has too long a name; set shorter values"),
    ],
)
def test_a_grid_without_points_is_refused(toy, grid, line):
    with pytest.raises(InputError, match=line):
        sweep.make_runs("train", grid, toy, "checkpoint_dir")
