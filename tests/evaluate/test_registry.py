"""The table of languages: its rows, and what it reports of tools and libraries that are missing."""

import dataclasses
import json
import os
import pathlib
import re

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.languages import registry, spec, toolchain_cache
from codex_jax.evaluate.verdict_log import VerdictLog

DRIVERS = {path.name for path in spec.DRIVERS.iterdir()}
TOOLCHAINS = pathlib.Path(registry.__file__).with_name("toolchains")
PERL_TEST = "use Test::Deep;\n"


@pytest.fixture(autouse=True)
def fresh_probes():
    spec.run_probe.cache_clear()
    yield
    spec.run_probe.cache_clear()


@pytest.fixture
def tools(monkeypatch, tmp_path):
    """A folder with a few of this machine's tools, which stands for PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "ls", "test", "grep"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    for module in (spec, registry, toolchain_cache):
        monkeypatch.setattr(module, "PATH", str(folder))
    monkeypatch.setattr(spec, "_VISIBLE", ("/usr", str(folder)))
    monkeypatch.setitem(spec._ENVIRONMENT, "PATH", str(folder))
    return folder


def install(folder: pathlib.Path, name: str, failing: str = "-", version: str = "1.0") -> None:
    """A tool that prints a version, and fails on arguments or an input of this pattern."""
    script = f'case "$* $(cat)" in {failing}) exit 1 ;; esac\necho "define {version}"'
    (folder / name).unlink(missing_ok=True)  # a link to this machine's own
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_every_row_is_complete():
    rows = registry.languages().values()
    names = [name for row in rows for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names)) >= 16
    for row in rows:
        words = row.command("tests", "f", 64)
        assert {w.rpartition("/")[2] for w in words if "/kit/drivers/" in w} <= DRIVERS
        assert not any("{" in word for word in (*words, *row.env.values()))
        assert not row.build_script or (TOOLCHAINS / row.build_script).is_file()
        assert row.files("p", "t")
        assert row.check_program.count("+ 1") == 1


def test_an_unknown_language_is_one_line():
    with pytest.raises(InputError, match=r"language 'cobol'; expected one of python, javascript"):
        registry.find_language("cobol")


@pytest.mark.usefixtures("tools")
def test_an_absent_language_says_what_installs_it(capsys):
    with pytest.raises(InputError, match=r"lua is absent; install with: apt-get install lua5\.4"):
        registry.require([problem("lua")])
    registry.list_languages()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(registry.languages())
    assert all("absent; install with: " in line for line in lines)


def problem(name: str, test: str = "x", **extra) -> records.Problem:
    extra = {"language": name, "mode": "in-process", **extra}
    return records.Problem(task_id="t", prompt="", test=test, extra=extra)


# Simulated partial installations: language, tools that are there, the arguments or input with which
# they fail, and the name of what is missing.
PARTIAL = {
    "perl without Test::Deep": ("perl", "perl", "*Deep*", "Test::Deep"),
    "perl without Data::Compare": ("perl", "perl", "*Compare*", "Data::Compare"),
    "perl without JSON::PP": ("perl", "perl", "*JSON*", "JSON::PP"),
    "lua 5.1": ("lua", "lua", "*math.type*", "version 5.3"),
    "lua without luaunit": ("lua", "lua", "*luaunit*", "luaunit"),
    "node without lodash": ("javascript", "node", "*lodash*", "lodash"),
    "TypeScript 7": ("typescript", "tsc node", "*typescript.js*", "compiler API"),
    "tsc without node": ("typescript", "tsc", "-", "node"),
    "rust without libstd": ("rust", "rustc cc gcc ld", "*target-libdir*", "standard library"),
    "a rustup proxy": ("rust", "rustc cc gcc ld", "*", "standard library"),
    "rust without a linker": ("rust", "rustc cc gcc", "-", "ld"),
    "g++ without ld": ("cpp", "g++ gcc as", "-", "ld"),
    "g++ without headers": ("cpp", "g++ gcc as ld", "*string*", "standard library"),
    "g++ without boost": ("cpp", "g++ gcc as ld", "*boost*", "boost"),
    "g++ without OpenSSL": ("cpp", "g++ gcc as ld", "*lcrypto*", "OpenSSL"),
    "gcc without headers": ("c", "gcc as ld", "*stdlib.h*", "standard library"),
    "java without jar": ("java", "java javac", "-", "jar"),
    "java without javac": ("java", "java jar", "-", "javac"),
    "scala without javac": ("scala", "scalac java", "-", "javac"),
    "ruby without test-unit": ("ruby", "ruby", "*test-unit*", "test-unit"),
    "go without its library": ("go", "go", "*", "standard library"),
    "mcs without mono": ("csharp", "mcs", "-", "mono"),
    "mono without System.Numerics": ("csharp", "mcs mono sh", "*Numerics*", "System.Numerics"),
    "mono without System.Core": ("csharp", "mcs mono sh", "*System.Core*", "System.Core"),
    "scala's library elsewhere": ("scala", "scalac java javac test", "*library*", "scala-library"),
    "php without ctype": ("php", "php", "*ctype*", "ctype"),
    "php without mbstring": ("php", "php", "*mbstring*", "mbstring"),
    "bash without bc": ("bash", "bash", "-", "bc"),
    "lua 5.1 with luaunit": ("lua", "lua", "*math.type*", "version 5.3"),
}
USES = {
    "perl": f"{PERL_TEST}use Data::Compare;\n",
    "lua": "require('luaunit')",
    "bash": "echo 1 | bc",
    "javascript": "require('lodash')",
    "php": "mb_strlen('x')",
    "cpp": "#include <boost/any.hpp>\n#include <openssl/md5.h>",
}


@pytest.mark.parametrize("case", PARTIAL)
def test_a_partial_installation_is_named_with_its_remedy(case, tools, capsys):
    name, present, failing, part = PARTIAL[case]
    for tool in present.split():
        install(tools, tool, failing)
    with pytest.raises(InputError, match=rf"{name} is incomplete: .*{part}.*; install") as error:
        registry.require([problem(name, USES.get(name, "x"))])
    assert "\n" not in str(error.value)
    registry.list_languages()
    (line,) = [row for row in capsys.readouterr().out.splitlines() if row.split()[0] == name]
    assert re.search(rf"incomplete: .*{part}.*; install with: \w", line)


@pytest.mark.parametrize(
    ("name", "tool", "others"),
    [
        ("javascript", "node", ""),
        ("php", "php", ""),
        ("typescript", "tsc", "node"),
        ("typescript", "node", "tsc"),
        ("rust", "rustc", "cc gcc ld"),
        ("java", "java", "javac jar"),
    ],
)
def test_a_tool_that_the_sandbox_does_not_show_is_missing(name, tool, others, tools, tmp_path):
    """A machine after an installation into /opt or a home folder, with a link in /usr/local/bin."""
    for other in others.split():
        install(tools, other)
    install(tmp_path, tool)
    (tools / tool).symlink_to(tmp_path / tool)
    reason = registry.absence(name, "")
    assert reason.startswith(f"incomplete: {tool}, which is {tmp_path}/{tool}, outside of /usr; ")
    assert reason.endswith(registry.languages()[name].install)


def test_a_library_is_required_only_by_the_problems_that_use_it(tools):
    install(tools, "perl", "*Deep* | *Compare*")
    registry.require([problem("perl")])
    with pytest.raises(InputError, match=r"Test::Deep; install with: apt-get install libtest-deep"):
        registry.require([problem("perl"), problem("perl", PERL_TEST)])
    assert "Data::Compare" in registry.absence("perl")


def test_the_key_of_a_verdict_changes_with_tools_libraries_and_flags(tools, tmp_path, monkeypatch):
    task = problem("perl", PERL_TEST)
    sample = records.Completion(task_id="t", completion="")

    def key(version: str, modified_ns: int) -> str:
        install(tools, "perl", version=version)
        os.utime(tools / "perl", ns=(0, modified_ns))
        spec.run_probe.cache_clear()
        return VerdictLog(tmp_path / "v.jsonl", {"t": task}, ["bubblewrap"]).key(sample)

    keys = [key("1.0", 0), key("1.1", 0), key("1.0", 1)]
    assert key("1.0", 0) == keys[0]
    row = dataclasses.replace(registry.languages()["perl"], run=("perl", "-w"))
    monkeypatch.setitem(registry.languages(), "perl", row)
    assert len({*keys, key("1.0", 0)}) == 4


def test_evaluate_refuses_before_it_starts_a_sandbox(tools, tmp_path):
    install(tools, "perl", "*Deep*")
    row = {"task_id": "t", "prompt": "", "language": "perl", "test": PERL_TEST}
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "c.jsonl").write_text('{"task_id": "t", "completion": ""}\n')
    files = {"problems": str(tmp_path / "p.jsonl"), "completions": str(tmp_path / "c.jsonl")}
    with pytest.raises(InputError, match=r"perl is incomplete: Test::Deep; install with: apt-get"):
        evaluate(**files, output=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
