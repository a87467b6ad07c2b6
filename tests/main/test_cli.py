"""Words to exit status: a line for each bad input, and no traceback."""

import errno
import os
import re
import subprocess
import sys

import pytest

from codex_jax import InputError
from codex_jax.main import cli, commands
from codex_jax.main.commands import COMMANDS, Command

FLAGS = ["--output=o", "--cache_dir=c", "--batch-size", "2", "--layers=1"]


def test_help_lists_every_command(capsys):
    assert cli.main([]) == cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", out, re.MULTILINE) for name in COMMANDS)


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_explains_each_of_its_settings(name, capsys):
    assert cli.main([*name.split(), "--help"]) == 0
    out = capsys.readouterr().out
    heads = [line for line in out.splitlines() if re.match(r"  -?-?\w+: ", line)]
    assert heads or name == "evaluate languages", "no settings"
    assert re.match(rf"USAGE: codex-jax {name} ([A-Z]+ )?\[FILE.gin", out)
    undocumented = re.findall(r"^  -?-?(\w+): .*\n(?!      \S)", out, flags=re.MULTILINE)
    assert undocumented == []


@pytest.mark.usefixtures("command")
def test_help_of_a_command(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert cli.main(["work", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Does the work. Longer talk." in out
    assert "  --output: str (required)\n      Where it goes." in out
    assert "  --rate: float = 0.5\n      How fast." in out
    assert "  shape: Shape" in out
    assert "  --vocab_size: int (from rows)\n      Ids." in out
    assert (
        "  --temperature: float = 0.8\n      Divides the logits, and 0 takes the likeliest." in out
    )
    assert "  --batch_size: int (required)\n      Rows." in out
    assert "operative_config" not in out


@pytest.mark.usefixtures("command")
def test_a_command_is_called(toy):
    assert cli.main(["work", *FLAGS]) == 0
    assert toy.CALLS[0]["rows"].batch_size == 2


@pytest.mark.usefixtures("command")
def test_dry_run_calls_nothing(toy, capsys):
    assert cli.main(["work", *FLAGS, "--dry_run"]) == 0
    assert not toy.CALLS
    assert "work.output = 'o'  # --output=o" in capsys.readouterr().out


@pytest.mark.usefixtures("command")
def test_gin_files_by_flag_and_by_position(toy, tmp_path):
    (tmp_path / "a.gin").write_text("work.rate = 0.125")
    (tmp_path / "b.gin").write_text("work.ks = (7,)")
    argv = ["work", str(tmp_path / "a.gin"), f"--gin_file={tmp_path / 'b.gin'}", *FLAGS]
    assert cli.main(argv) == 0
    assert (toy.CALLS[0]["rate"], toy.CALLS[0]["ks"]) == (0.125, (7,))


def test_a_group_lists_its_subcommands(capsys):
    assert cli.main(["data"]) == cli.main(["data", "--help"]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^  (\w+)  ", out, re.MULTILINE)[:4] == [
        *("build", "inspect", "explain", "cache")
    ]
    assert cli.main(["evaluate", "--help"]) == 0
    subcommands = capsys.readouterr().out.partition("Subcommands:\n")[2]
    assert re.findall(r"^  (\w+)  ", subcommands, re.MULTILINE)[:3] == [
        *("select", "tests", "languages")
    ]


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["wrok"], r"codex-jax: no command 'wrok'; did you mean work\?"),
        (["cache"], r"codex-jax: 'cache' is no command; write codex-jax data cache"),
        (["data", "a.gin"], r"codex-jax data: no subcommand 'a.gin'; write codex-jax data SUBC"),
        (["work", "--gin_file"], r"codex-jax work: --gin_file has no value; write --gin_file="),
        (["work", "a.txt"], r"codex-jax work: 'a.txt': expected FILE.gin or --NAME=VALUE"),
        (["work", "a.gin"], r"codex-jax work: a.gin: no such gin file; expected it there or in "),
        (["work", "--output"], r"codex-jax work: --output has no value; write --output=VALUE"),
        (["work"], r"codex-jax work: not set: Reader.cache_dir, "),
    ],
)
def test_bad_input_is_one_line_and_status_2(argv, line, capsys):
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert re.match(line, error)
    assert error.count("\n") == 1


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("found x; expected y"), 2, "codex-jax work: found x; expected y\n"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "rows/c"),
            2,
            "codex-jax work: rows/c: No space left on device; "
            "free space, or write elsewhere, and run again\n",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/x"),
            2,
            "codex-jax work: /x: Permission denied; choose a path that you may use\n",
        ),
        (
            OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "/xxx"),
            2,
            "codex-jax work: /xxx: File name too long; choose a shorter name\n",
        ),
        (
            ModuleNotFoundError("No module named 'seqio'", name="seqio"),
            2,
            "codex-jax work: seqio is not installed; pip install 'codex-jax[data]'\n",
        ),
        (
            KeyboardInterrupt(),
            130,
            "codex-jax work: interrupted; the same command continues from what is finished\n",
        ),
    ],
)
def test_errors_that_a_command_may_raise(monkeypatch, capsys, error, status, line):
    def fails(*_):
        raise error

    monkeypatch.setattr(cli, "_run", fails)
    assert cli.main(["work", *FLAGS]) == status
    assert capsys.readouterr().err == line


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize(
    "error", [ValueError("ours"), OSError(errno.EBADF, "x"), ModuleNotFoundError(name="codex_jax")]
)
def test_bugs_keep_their_traceback(monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(cli, "_run", fails)
    with pytest.raises(type(error)):
        cli.main(["work"])


def test_a_command_whose_extra_is_missing(monkeypatch, capsys, tmp_path):
    (tmp_path / "needy.py").write_text("import tensorflow_text.absent\n")
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(commands, "_EXTRAS", {"no_such_module": "beam"})
    monkeypatch.setitem(COMMANDS, "needy", Command("needy", "broken:f", "needs"))
    assert cli.main(["needy", "--help"]) == 2
    assert "no_such_module is not installed; pip install 'codex-jax[beam]'" in (
        capsys.readouterr().err
    )


def test_output_into_a_closed_pipe_is_no_error():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "codex_jax", "--help"]
    done = subprocess.run(command, check=False, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
