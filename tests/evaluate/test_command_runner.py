"""Scripts run on read-only files without network; the lines that they write come back."""

import pathlib
import tempfile
import time

import pytest

from codex_jax import InputError
from codex_jax.evaluate.sandbox import python_sandbox
from codex_jax.evaluate.sandbox.command_runner import CommandRunner
from codex_jax.evaluate.sandbox.sandbox import SandboxInfo

PROBE = """
import os, socket, sys
def say(text): os.write(3, (text + "\\n").encode())
print("lost"); print("lost", file=sys.stderr)
for path in ("/kit/new", "/usr/new", "/new"):
    try:
        open(path, "w"); say("wrote " + path)
    except OSError:
        say("refused")
try:
    connection = socket.socket(); connection.settimeout(1)
    connection.connect(("1.1.1.1", 53)); say("connected")
except OSError:
    say("no network")
open("/tmp/new", "w").write("x")
say(",".join(sorted(os.environ)))
say(open("/kit/data.txt").read())
"""


@pytest.fixture
def files(tmp_path_factory) -> pathlib.Path:
    folder = pathlib.Path(tmp_path_factory.mktemp("kit", numbered=True))
    for parent in [folder, *folder.parents]:
        if parent.is_relative_to("/tmp") and parent != pathlib.Path("/tmp"):
            parent.chmod(0o755)
    return folder


def run(isolation, files, script, timeout_s=30.0, **settings) -> list[str]:
    (files / "data.txt").write_text("data")
    (files / "run.py").write_text(script)
    runner = CommandRunner(sandbox=isolation, **settings)
    lines = runner.lines(files, ["/kit/run.py"], timeout_s=timeout_s, environment={"A": "1"})
    return [line.decode() for line in lines]


def test_what_a_script_can_do(isolation, files):
    lines = run(isolation, files, PROBE)
    assert lines[:4] == ["refused", "refused", "refused", "no network"]
    assert {"A", "HOME", "PATH"} <= set(lines[4].split(","))
    assert lines[5:] == ["data"]


def test_what_was_written_before_an_abrupt_end_is_kept(isolation, files):
    assert run(isolation, files, "import os\nos.write(3, b'a\\nb\\nrest')\nos._exit(1)\n") == [
        "a",
        "b",
    ]


def test_a_script_that_hangs_is_ended_with_its_children(isolation, files):
    script = "import os, time\nos.write(3, b'a\\n')\nos.fork()\ntime.sleep(600)\n"
    start = time.monotonic()
    assert run(isolation, files, script, timeout_s=3.0) == ["a"]
    assert time.monotonic() - start < 60


def test_output_without_end_is_ended(isolation, files):
    script = "import os\nwhile True: os.write(3, b'a' * 99 + b'\\n')\n"
    lines = run(isolation, files, script, output_mb=1)
    assert 0.9e4 < len(lines) < 2e4
    long = "open(3, 'wb').write(b'a' * 300_000 + b'\\nshort\\n')\n"
    assert run(isolation, files, long) == ["short"]


def test_the_sandbox_has_a_name(isolation):
    assert CommandRunner(sandbox=isolation).check() == isolation


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("memory_mb", (-1, 63)),
        ("tmp_mb", (0, 1 << 40)),
        ("processes", (0, -1, 10**20)),
        ("output_mb", (0, -5)),
    ],
)
def test_settings_out_of_range_are_refused(name, values):
    for value in values:
        with pytest.raises(InputError, match=rf"CommandRunner\.{name} is {value}; set it to"):
            CommandRunner(**{name: value}).check()


def test_a_sandbox_that_does_not_start_leaves_no_folder(files, tmp_path, monkeypatch):
    class Broken:
        own_uid = seccomp = False

        def start(self, *_, **__):
            raise OSError("too many processes")

    info = SandboxInfo(Broken(), pathlib.Path("/usr/bin/python3"))
    monkeypatch.setattr(python_sandbox, "choose_backend", lambda _: info)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="too many"):
        list(CommandRunner().lines(files, ["/kit/run.py"], timeout_s=1.0))
    assert list(tmp_path.iterdir()) == []
