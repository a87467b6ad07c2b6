"""benchmarks/rl_gpu.sh and benchmarks/rl_toy.py: a small run, and flags that the commands have."""

import json
import os
import subprocess
import sys

import pytest

from codex_jax.main import cli
from tests.test_architecture import ROOT

SMALL = (
    *("--prompts_per_batch=2", "--samples_per_prompt=4", "--max_new_tokens=8", "--sampler_rows=8"),
    *("--microbatches=2", "--gin.Sandbox.workers=1", "--warmup_steps=1"),
)


def run_script(settings, output, *flags):
    files = (settings[name] for name in ("init_from", "tokenizer", "problems", "problems"))
    return subprocess.run(
        ["sh", ROOT / "benchmarks" / "rl_gpu.sh", *files, output, *flags],
        env=os.environ | {"PYTHON": sys.executable, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_three_updates_and_what_they_gain_on_a_cpu(settings, tmp_path):
    """Run again without time, the newest checkpoint is measured."""
    output = tmp_path / "updates"
    sizes = ("--samples=2", "--new=8", *SMALL)
    done = run_script(settings, output, "--steps=3", *sizes)
    assert done.returncode == 0, done.stderr
    lines = [
        json.loads(line) for line in (output / "policy/metrics.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert all(line["tokens"] > 0 for line in lines)
    report = json.loads((output / "report.json").read_text())
    assert (report["step"], report["problems"]) == (3, 6)
    assert report["difference"] == pytest.approx(report["after"] - report["before"])
    assert len((output / "after.jsonl").read_text().splitlines()) == 12
    (output / "report.json").unlink()
    done = run_script(settings, output, "--steps=5000", "--seconds=1", *sizes)
    assert done.returncode == 0, done.stderr
    assert "the time of the training is over" in done.stdout
    assert json.loads((output / "report.json").read_text()) == report


def test_an_error_is_the_scripts_exit_status(settings, tmp_path):
    done = run_script(settings, tmp_path / "updates", "--steps=3", *SMALL, "--rewards=passse")
    assert done.returncode == 2
    assert "no reward 'passse'" in done.stderr


def test_the_toys_flags_are_the_commands(monkeypatch, tmp_path, capsys):
    """Each command is taken up to its first missing input: an unknown flag is refused before."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import rl_toy

    commands = []
    policy, rounds = tmp_path / "toy" / "policy", tmp_path / "toy" / "rounds"
    for number in (1, 2):
        (rounds / f"round-{number}").mkdir(parents=True)
        line = {"task_id": "a", "completion": "", "sample_index": 0, "tokens": 7}
        (rounds / f"round-{number}" / "completions.jsonl").write_text(json.dumps(line) + "\n")
    policy.mkdir()
    (policy / "metrics.jsonl").write_text('{"step": 0, "sampled_tokens": 5.0}\n{"step": 1}\n')

    def record(*words):
        commands.append([str(word) for word in words])
        for word in commands[-1]:
            if word.startswith("--output=") and words[0] == "evaluate":
                folder = tmp_path / "toy" / word.partition("/toy/")[2]
                folder.mkdir(parents=True)
                (folder / "report.json").write_text('{"pass_at_k": {}}')

    monkeypatch.setattr(rl_toy, "run", record)
    chains = tmp_path / "chains"
    chains.mkdir()
    (chains / "chains-test.jsonl").write_text("")
    flags = ["--quickstart", str(tmp_path), "--output", str(tmp_path / "toy"), "--rounds", "2"]
    monkeypatch.setattr(sys, "argv", ["rl_toy.py", *flags])
    rl_toy.main()
    names = [command[:2] if command[1] == "rounds" else command[:1] for command in commands]
    measured = [["sample"], ["evaluate"], ["evaluate"]]
    assert names == [*measured, ["rl", "rounds"], *measured, ["rl"], *measured]
    results = json.loads(capsys.readouterr().out)
    assert results["rejection rounds"]["sampled tokens"] == 14
    assert results["policy gradient"]["sampled tokens"] == 5
    monkeypatch.chdir(ROOT)
    for command in commands:
        assert cli.main(command) == 2
        assert "no setting" not in capsys.readouterr().err, command
    assert cli.main([*commands[0], "--no_such_flag=1"]) == 2
    assert "no setting --no_such_flag" in capsys.readouterr().err
