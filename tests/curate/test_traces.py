"""`curate traces` on packages of ours: good suites, and hostile ones used up to where they end."""

import importlib
import json
import pathlib
import shutil

import pytest

from codex_jax import InputError, records
from codex_jax.curate import package_runs
from codex_jax.curate.traces import cpython, environments, traces
from codex_jax.evaluate.sandbox.command_runner import CommandRunner
from codex_jax.main import cli
from tests.curate.conftest import load, run_check, write_sdist

SOURCE = '''
def clip(number: int, low: int, high: int = 10) -> int:
    """Clips a number to an interval of two bounds."""
    if number < low:
        return low
    return min(number, high)

def initials(text):
    words = text.split()
    return "".join(word[0] for word in words)
'''
TESTS = """
from demo import clip, initials

def test_clip():
    assert clip(5, 1) == 5
    assert clip(0, 1) == 1
    assert clip(50, 1, 20) == 20

def test_initials():
    assert initials("a bc d") == "abd"
    assert initials("") == ""
"""
HOSTILE = {
    "exits": "import os\ndef test_z():\n    os._exit(0)\n",
    "hangs": "import time\ndef test_z():\n    time.sleep(600)\n",
    "forks": "import os, time\ndef test_z():\n    os.fork()\n    os.fork()\n    time.sleep(600)\n",
    "connects": "import socket\ndef test_z():\n    socket.create_connection(('1.1.1.1', 80), 2)\n",
    "writes": "def test_z():\n    open('/usr/curate', 'w')\n    open('/kit/x', 'w')\n",
    "fills": "def test_z():\n    with open('/tmp/x', 'wb') as f:\n"
    "        for _ in range(2048): f.write(bytes(1 << 20))\n",
    "memory": "def test_z():\n    x = [bytearray(1 << 28) for _ in range(64)]\n",
    "resets": "import sys\nsys.setprofile(None)\ndef test_0():\n    sys.setprofile(None)\n",
    "patches": "import builtins, json\nbuiltins.repr = None\njson.dumps = None\n",
    "prints": "def test_z():\n    for _ in range(1 << 10): print('x' * (1 << 20))\n",
    "forges": "import os\ndef test_z():\n    os.write(3, b'{\"module\": 1}\\n?' * 9 + b'\\n')\n",
    "closes": "import os\nos.closerange(0, 100)\n",
    "raises": "1 / 0\n",
    "spoils": "import builtins\nbuiltins.type = builtins.list = None\n",
    "leaves": "raise SystemExit(3)\n",
    "configures": "",  # conftest.py, see below
}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> pathlib.Path:
    """A folder with pytest, copied from this environment: no test fetches anything."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("_pytest", "iniconfig", "packaging", "pluggy", "py", "pygments", "pytest"):
        path = pathlib.Path(importlib.import_module(name).__file__)
        source = path.parent if path.name == "__init__.py" else path
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, folder / source.name)
    return folder


@pytest.fixture
def settings(sandbox_name, runner, site, monkeypatch):
    def install(_, folder):
        shutil.copytree(site, folder)
        return ""

    monkeypatch.setattr(environments, "install", install)
    commander = CommandRunner(sandbox=sandbox_name, tmp_mb=64)
    return traces._Settings(runner, commander, seed=0, tests_timeout_s=20.0)


def trace(tmp_path, settings, **files) -> dict:
    path = write_sdist(tmp_path, "demo", {"demo.py": SOURCE, **files})
    return traces._make_result(settings, path, package_runs.Tally(path.name))


def test_problems_of_recorded_calls(tmp_path, settings):
    result = trace(tmp_path, settings, **{"tests/test_demo.py": TESTS})
    assert (result["recorded_functions"], result["recorded_calls"]) == (2, 5)
    problems = {
        fields["entry_point"]: records.parse_record(json.dumps(fields), records.Problem, where="")
        for fields in result["problems"]
    }
    assert set(problems) == {"clip", "initials"}
    assert problems["clip"].extra["recorded_cases"] == 3
    assert problems["clip"].extra["route"] == "traces"
    assert [problems[name].extra["documented"] for name in ("clip", "initials")] == [True, False]
    for name, problem in problems.items():
        run_check(problem.test, load(problem.prompt + problem.canonical_solution, name))


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_suite_is_used_up_to_where_it_ends(tmp_path, settings, name):
    """Its tests run before or after the good ones; nothing of ours is harmed."""
    settings = traces.dataclasses.replace(settings, tests_timeout_s=8.0)
    files = {"tests/test_a.py": TESTS, "tests/test_b.py": HOSTILE[name]}
    if name == "closes":  # before the others, whose records would go into another file
        files["tests/test_0.py"] = files.pop("tests/test_b.py")
    if name == "configures":
        files |= {"conftest.py": "pytest_plugins = ['missing']\n", "pytest.ini": "[pytest\n"}
    result = trace(tmp_path, settings, **files)
    assert result["recorded_functions"] == 2, result
    assert result["reasons"]["made a problem"] == 2
    assert not pathlib.Path("/usr/curate").exists()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "package: no tests in the archive"),
        ({"tests/test_demo.py": "import missing_module\n"}, "package: no call was recorded"),
        ({"tests/test_demo.py": "def test_a():\n    pass\n"}, "package: no call was recorded"),
    ],
)
def test_packages_without_calls_say_so(tmp_path, settings, files, reason):
    assert trace(tmp_path, settings, **files)["reasons"] == {reason: 1}


def test_a_package_named_as_a_module_of_python_says_so(tmp_path, settings):
    path = write_sdist(tmp_path, "json", {"json/__init__.py": "", "tests/test_a.py": "x = 1\n"})
    result = traces._make_result(settings, path, package_runs.Tally(path.name))
    (reason,) = result["reasons"]
    assert reason.startswith("package: its name is pytest's or that of a module of Python")


def test_the_library_and_its_tests():
    folder = cpython.library()
    names = cpython.test_modules(folder)
    if not names:
        pytest.skip("this Python has no test package")
    assert "test.test_textwrap" in names
    assert "test.test_socket" not in names
    archive = cpython.read_library(folder)
    assert "textwrap.py" in archive.sources
    assert not any(path.startswith("test/") for path in archive.sources)


def test_bad_input_is_one_line(tmp_path, capsys, runner):
    with pytest.raises(InputError, match="no archives"):
        traces.write_traces(
            packages=str(tmp_path), output=str(tmp_path / "o"), runner=runner, commander=None
        )
    words = ["curate", "traces", f"--packages={tmp_path}", f"--output={tmp_path}/o"]
    assert cli.main(words) == 2
    assert "no archives" in capsys.readouterr().err
    write_sdist(tmp_path, "good", {})
    for setting in ("tests_timeout_s=-1", "gin.ProgramRunner.timeout_s=0", "tmp_mb=0"):
        assert cli.main([*words, f"--{setting}"]) == 2
        assert not (tmp_path / "o").exists()
    assert "CommandRunner.tmp_mb is 0" in capsys.readouterr().err
