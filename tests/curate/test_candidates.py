"""`curate candidates` on packages of ours, good and hostile ones."""

import json

import pytest

from codex_jax import InputError, records
from codex_jax.curate import candidates
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.main import cli
from tests.curate.conftest import load, run_check, write_sdist

GOOD = '''
def shorten(text: str, width: int = 10) -> str:
    """Shortens a text to a width, with dots at its end."""
    if len(text) <= width:
        return text
    return text[: max(0, width - 3)] + "..."
'''
HOSTILE = '''
import os, socket, sys
sys.setprofile(None)
open("/tmp/curate-was-here", "w").write("x")
BIG = "x" * 100
def leave(text: str):
    """Leaves the process when it is called."""
    import os
    os._exit(0)
    return text + "a"
def loop(text: str):
    """Never comes to an end, whatever it gets."""
    while True:
        text += "a"
    return text
def grow(count: int):
    """Takes two gigabytes of memory at once."""
    block = bytearray(2 << 30)
    return len(block) + count
def connect(name: str):
    """Opens a connection to somewhere else."""
    import socket
    return str(socket.create_connection((name, 80)))
def print_much(count: int):
    """Returns so much text that no pipe holds it."""
    text = "x" * (1 << 26)
    return text * 4
class Evil(str):
    def __repr__(self): raise ValueError
    def __eq__(self, other): return True
def lie(text: str):
    """Returns an object that is equal to everything."""
    evil = Evil(text)
    return [evil, object()]
def nothing(number: float):
    """Returns a number that isn't equal to itself."""
    value = number * float("nan")
    return value
def order(text: str):
    """Returns the characters of a text in the order of a set."""
    letters = set(text)
    return "".join(letters)
def patch(text: str):
    """Replaces a builtin, so that later calls differ."""
    import builtins
    builtins.len, count = lambda _: 0, len(text)
    return count
'''


def test_problems_of_good_packages(tmp_path, runner, capsys):
    packages = tmp_path / "packages"
    packages.mkdir()
    write_sdist(packages, "good", {"good.py": GOOD})
    write_sdist(packages, "empty", {"empty.py": ""})
    (packages / "broken-1.0.tar.gz").write_bytes(b"?")
    output = tmp_path / "out"
    candidates.write_candidates(
        packages=str(packages), output=str(output), runner=runner, workers=2
    )
    (problem,) = records.read_jsonl(output / "problems.jsonl", records.Problem)
    shorten = load(problem.prompt + problem.canonical_solution, "shorten")
    run_check(problem.test, shorten)
    report = json.loads((output / "report.json").read_text())
    without = {"package: no readable archive": 1, "package: no documented function": 1}
    assert report["reasons"] == {"made a problem": 1, **without}
    assert "1 problems from 1 of 3 packages" in capsys.readouterr().out


def test_hostile_functions_fall_out_and_the_run_goes_on(tmp_path, sandbox_name):
    runner = ProgramRunner(sandbox=sandbox_name, timeout_s=0.5)
    packages = tmp_path / "packages"
    packages.mkdir()
    write_sdist(packages, "hostile", {"hostile.py": HOSTILE + GOOD})
    output = tmp_path / "out"
    candidates.write_candidates(packages=str(packages), output=str(output), runner=runner)
    names = [p.entry_point for p in records.read_jsonl(output / "problems.jsonl", records.Problem)]
    assert names == ["shorten"]
    reasons = json.loads((output / "report.json").read_text())["reasons"]
    assert sum(reasons.values()) == 10


@pytest.mark.parametrize(("per_package", "expected"), [(1, 1), (0, 3)])
def test_problems_of_a_package_are_limited(tmp_path, runner, per_package, expected):
    text = "".join(GOOD.replace("shorten", f"shorten{n}") for n in range(3))
    write_sdist(tmp_path, "good", {"good.py": text})
    output = tmp_path / "out"
    candidates.write_candidates(
        packages=str(tmp_path / "good-1.0.tar.gz"),
        output=str(output),
        runner=runner,
        per_package=per_package,
    )
    assert len(list(records.read_jsonl(output / "problems.jsonl", records.Problem))) == expected


def test_bad_input_is_one_line(tmp_path, runner, capsys):
    with pytest.raises(InputError, match="no archives"):
        candidates.write_candidates(
            packages=str(tmp_path), output=str(tmp_path / "o"), runner=runner
        )
    assert (
        cli.main(["curate", "candidates", f"--packages={tmp_path}", f"--output={tmp_path}/o"]) == 2
    )
    assert "no archives" in capsys.readouterr().err
    assert cli.main(["curate", "candidates", "--help"]) == 0
    assert "--per_package" in capsys.readouterr().out
