"""The complete loop, small: every step as a subprocess, then the same again, resumed."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from codex_jax import InputError
from codex_jax.evaluate.sandbox import python_sandbox
from codex_jax.main import cli, gin_files, quickstart

TINY = {
    "curate": "curate.chains.train_chains = 300\ncurate.chains.held_out = (1, 2, 1, 1, 1)",
    "tokenizer": 'include "corpus.gin"\ntokenizer.corpus = %CORPUS\ntokenizer.vocab_size = 400',
    "data": 'include "corpus.gin"\ndata.build.corpus = %CORPUS\ndata.build.sequence_length = 64',
    "corpus": (gin_files.config_dir() / "quickstart" / "corpus.gin")
    .read_text()
    .replace("validation_share = 0.02", "validation_share = 0.5"),  # of five files
    "train": """
BatchReader.batch_size = 8
BatchReader.seed = 0
DecoderConfig.layers = 1
DecoderConfig.width = 32
DecoderConfig.heads = 2
DecoderConfig.max_length = 512
Optimizer.warmup_steps = 2
train.steps = 30
train.save_every = 10
""",
    "sample": "sample.samples_per_problem = 2\nsample.max_new_tokens = 16",
    "evaluate": "evaluate.ks = (1, 2)",
    "solve": "solve.samples_per_window = 1\nsolve.max_new_tokens = 16",
    "report": "report.ks = (1, 2)",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with small configs, and Python sources to learn from."""
    folder = tmp_path_factory.mktemp("quickstart")
    for name, text in TINY.items():
        (folder / f"{name}.gin").write_text(text + "\n")
    library = folder / "library"
    library.mkdir()
    for path in pathlib.Path(json.__file__).parent.glob("*.py"):
        (library / path.name).write_text(path.read_text())
    return folder


def command(folder: pathlib.Path, run: str) -> list[str]:
    return [
        *(sys.executable, "-m", "codex_jax", "quickstart", f"--run_dir={folder / run}"),
        *(f"--configs={folder}", f"--library={folder / 'library'}"),
    ]


@pytest.mark.slow
def test_killed_and_run_again_it_ends_as_if_undisturbed(folder):
    try:
        python_sandbox.choose_backend("auto")
    except InputError as error:
        pytest.skip(str(error))
    straight = subprocess.run(command(folder, "a"), capture_output=True, text=True, check=False)
    assert straight.returncode == 0, straight.stderr
    assert "pass@1" in straight.stdout
    assert straight.stdout.count("$ codex-jax") == 9
    *_, table, _ = straight.stdout.split("\n\n")
    assert table.startswith("solved                    one sample          likeliest of 2 ")
    page = (folder / "a" / "report.html").read_text()
    assert "<html" in page
    assert "Validation, bits per byte by Task" in page
    assert "pass@1 by the number of blocks and by method" in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page), "the page needs the network"

    broken = subprocess.Popen(command(folder, "b"), start_new_session=True)
    metrics = folder / "b" / "checkpoint" / "metrics.jsonl"
    while broken.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
    os.killpg(broken.pid, signal.SIGKILL)
    broken.wait()
    again = subprocess.run(command(folder, "b"), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr

    def losses(run):
        lines = (folder / run / "checkpoint" / "metrics.jsonl").read_text().splitlines()
        return {row["step"]: row["loss"] for row in map(json.loads, lines)}

    assert losses("b") == losses("a")
    assert len(losses("a")) == 30

    def completions(run):
        return sorted((folder / run / "completions.jsonl").read_text().splitlines())

    assert completions("b") == completions("a")
    assert again.stdout.split("\n\n")[-2] == table


def test_the_configs_say_what_quickstart_runs():
    for step in quickstart.steps(pathlib.Path("r"), pathlib.Path("lib")):
        path = gin_files.config_dir() / "quickstart" / step.file
        line = f"codex-jax {step.command} gin_configs/quickstart/{step.file}"
        assert line in path.read_text()
        for name in step.flags:
            assert f"--{name}=" in path.read_text(), f"{path} doesn't show --{name}"


def test_a_failing_step_ends_it_with_its_status(folder, capfd):
    argv = ["quickstart", f"--run_dir={folder / 'c'}", f"--configs={folder}", "--library=absent"]
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("codex-jax tokenizer: corpus 'library': absent")


def test_a_folder_of_something_else_is_refused(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert cli.main(["quickstart", f"--run_dir={tmp_path}"]) == 2
    assert "holds 'notes.txt'" in capsys.readouterr().err
    assert cli.main(["quickstart", "--run_dir="]) == 2
    assert "run_dir is empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
