"""Compiled programs on disk: found again, bounded, and out of the programs' reach."""

import dataclasses
import os
import pathlib
import tempfile

import pytest

from codex_jax import InputError
from codex_jax.evaluate.languages import (
    compile_cache,
    registry,
    toolchain_cache,
    toolchain_sandbox,
)
from codex_jax.evaluate.sandbox import python_sandbox
from codex_jax.evaluate.sandbox.sandbox import Limits

RIGHT = "int twice(int n) { return 2 * n; }"
TEST = "#include <assert.h>\nint main() {\n    assert(twice(4) == 8);\n    return 0;\n}\n"
# Puts a script that gives back the token in the place of what was compiled.
REPLACES_ITSELF = """
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
int twice(int n) {
    unlink("/tmp/program");
    FILE *f = fopen("/tmp/program", "w");
    if (f) {
        fputs("#!/bin/sh\\nread token; echo $token >&3\\n", f);
        fclose(f);
        chmod("/tmp/program", 0755);
    }
    exit(0);
}
"""


class FakeSandbox:
    """Compiles everything that holds no error, and remembers what it was asked for."""

    def __init__(self, folder):
        self.compile_cache, self.requests = compile_cache.CompileCache(folder), []

    def compile(self, files, _steps, **_settings):
        self.requests.append("compile")
        text = "".join(files.values())
        result = {"ok": "error" not in text, "output": "error", "reason": "closed", "cpu_s": 0.1}
        return result | {"artifacts": text.encode()}

    def restore(self, body):
        self.requests.append(body.decode())
        return {"ok": True}

    def run_tests(self, _language, _entry_point, token, _limits):
        end = {
            "reason": "closed",
            "exit": 0,
            "signal": 0,
            "cpu_s": 0.0,
            "wall_s": 0.0,
            "output": "",
        }
        return (token + "\n").encode(), end


def judged(box, program: str, test: str = TEST) -> str:
    row = registry.languages()["c"]
    return toolchain_sandbox.run_tests(box, row, program, test, "twice", Limits()).cause


def test_a_program_is_compiled_once_in_all_runs(tmp_path):
    first, second = FakeSandbox(tmp_path / "made"), FakeSandbox(tmp_path / "made")
    assert judged(first, RIGHT) == judged(second, RIGHT) == "passed"
    assert first.requests == ["compile"]
    assert len(second.requests) == 1
    assert RIGHT in second.requests[0]
    assert judged(second, RIGHT, TEST + "\n") == "passed"
    assert second.requests[1:] == ["compile"]


def test_other_tools_compile_anew(tmp_path, monkeypatch):
    box = FakeSandbox(tmp_path / "made")
    judged(box, RIGHT)
    monkeypatch.setattr(toolchain_cache, "fingerprint", lambda *_: "of tomorrow")
    judged(box, RIGHT)
    assert box.requests == ["compile", "compile"]


def test_what_failed_is_tried_again(tmp_path):
    box = FakeSandbox(tmp_path / "made")
    for _ in range(2):
        assert judged(box, "error") == "syntax_or_compile_error"
    assert box.requests == ["compile", "compile"]


def test_what_was_used_last_stays_within_the_bound(tmp_path):
    cache = compile_cache.CompileCache(tmp_path / "made", max_bytes=1600)
    for age in range(40):
        cache.store(str(age), b"x" * 96)
        os.utime(cache.folder / str(age), (age, age))
    left = {int(path.name) for path in cache.folder.iterdir()}
    assert left == set(range(40 - len(left), 40))
    assert 15 <= len(left) <= 17
    assert cache.get("39") == b"x" * 96
    assert cache.get("0") is None


def test_files_torn_or_half_written_are_as_if_not_there(tmp_path):
    cache = compile_cache.CompileCache(tmp_path / "made", max_bytes=100)
    cache.store("one", b"content")
    (cache.folder / "one").write_bytes((cache.folder / "one").read_bytes()[:-1])
    assert cache.get("one") is None
    for name in (".old", ".young"):
        (cache.folder / name).write_bytes(b"half")
    os.utime(cache.folder / ".old", (0, 0))
    cache.store("two", b"content")
    assert not (cache.folder / ".old").exists()
    assert (cache.folder / ".young").exists()


def test_a_disk_that_takes_nothing_is_no_trouble(tmp_path):
    cache = compile_cache.CompileCache(tmp_path / "made")
    (cache.folder / "one").mkdir()
    cache.store("one", b"content")
    assert cache.get("one") is None
    assert len(list(cache.folder.iterdir())) == 1


def test_no_program_changes_what_is_kept(isolation, tmp_path):
    row = registry.languages()["c"]
    if reason := registry.absence("c"):
        pytest.skip(f"c is {reason}")
    with toolchain_sandbox.ToolchainSandbox(
        python_sandbox.choose_backend(isolation)
    ).start() as box:
        toolchain_sandbox.prepare_toolchain(row, lambda: box)
        box.compile_cache = compile_cache.CompileCache(tmp_path / "made")
        assert judged(box, REPLACES_ITSELF) == "exited_early"
        (path,) = box.compile_cache.folder.iterdir()
        before = path.read_bytes()
        assert judged(box, REPLACES_ITSELF) == "exited_early"
        assert judged(box, RIGHT) == judged(box, RIGHT) == "passed"
        assert path.read_bytes() == before
        assert len(list(box.compile_cache.folder.iterdir())) == 2


def test_a_toolchain_that_misjudges_a_known_program_is_incomplete(isolation, monkeypatch):
    """The tool is there, but doesn't work in the sandbox: no program is to blame."""
    row = registry.languages()["bash"]
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,  # readable to nobody
        toolchain_sandbox.ToolchainSandbox(python_sandbox.choose_backend(isolation)).start() as box,
    ):
        pathlib.Path(folder).chmod(0o755)
        monkeypatch.setattr(toolchain_cache, "drivers_dir", lambda: pathlib.Path(folder))
        for program, message in (
            ("f() { no-such-tool $(($1 + 1)); }", r"right ended with: .*no-such-tool.*; install"),
            ("f() { echo 2; } # + 1", "wrong ended with: passed; install with: apt-get"),
        ):
            broken = dataclasses.replace(row, check_program=program)
            with pytest.raises(
                InputError, match=f"bash is incomplete: a program that is {message}"
            ):
                toolchain_sandbox.prepare_toolchain(broken, lambda: box)
        toolchain_sandbox.prepare_toolchain(row, lambda: box)
