"""Every script of benchmarks/ explains itself, without measuring anything."""

import subprocess
import sys

import pytest

from tests.test_architecture import ROOT

SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_help(path):
    command = [sys.executable, path, "--help"]
    process = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    is_script = "__main__" in path.read_text()
    assert process.stdout.startswith("usage: ") == is_script, process.stdout
    assert not (ROOT / "--help").exists()


def test_an_unknown_flag_is_refused():
    command = [sys.executable, SCRIPTS[0], "--no_such_flag"]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    assert process.returncode == 2
    assert "usage: " in process.stderr
