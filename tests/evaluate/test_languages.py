"""Other languages: what is right passes, what is not does not, and rows say how it was judged."""

import dataclasses
import json
import pathlib

import pytest

from codex_jax import InputError
from codex_jax.evaluate.languages import (
    program_files,
    registry,
    spec,
    toolchain_cache,
    toolchain_sandbox,
)
from tests.evaluate import attacks_languages, solutions
from tests.evaluate.solutions import judged

KNOWN_GOOD = json.loads(pathlib.Path(__file__).with_name("known_good.json").read_text())
QUICK = ("javascript", "lua", "bash", "perl", "php", "ruby", "go", "cpp")


def here(name: str) -> str:
    if why := solutions.absent(name):
        pytest.skip(why)
    return name


@pytest.mark.parametrize("name", QUICK)
def test_a_right_program_passes_and_a_wrong_one_says_why(name, tmp_path):
    tasks = solutions.problems(here(name))
    right = solutions.solutions()[name]
    pairs = [(tasks[53], right[53]), (tasks[53], right[41].replace("n", "x")), (tasks[53], "(((")]
    rows = judged(tmp_path, pairs)
    assert rows[0].verdict == "passed", rows[0]
    assert {row.verdict for row in rows[1:]} == {"failed"}, rows
    assert rows[2].cause in ("syntax_or_compile_error", "exception")
    assert {row.extra["mode"] for row in rows} == {"in-process"}
    assert {row.extra["runtime"] for row in rows} == {registry.runtime(name)}


def test_languages_take_turns_in_every_sandbox(isolation, tmp_path):
    """One run, several languages: what one was made ready with doesn't disturb the next."""
    names = [name for name in ("lua", "javascript", "bash") if not solutions.absent(name)]
    tasks = {name: solutions.problems(name)[53] for name in names}
    pairs = [
        (
            dataclasses.replace(tasks[name], task_id=f"{name}/53"),
            solutions.solutions()[name][53],
        )
        for name in names
    ]
    rows = judged(tmp_path, pairs, isolation)
    assert [row.cause for row in rows] == ["passed"] * len(names)
    assert [row.extra["language"] for row in rows] == names


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KNOWN_GOOD if name not in ("cpp", "scala")])
def test_the_known_good_set_passes(name, tmp_path):
    """C++'s and Scala's take their time: `benchmarks/evaluate_languages.py --known_good`."""
    pairs = solutions.known_good(here(name))
    rows = judged(tmp_path, pairs)
    passed = {int(row.task_id.split("_")[1]) for row in rows if row.verdict == "passed"}
    missing = set(KNOWN_GOOD[name]["passed"]) - passed
    versions = f"recorded with {KNOWN_GOOD[name]['runtime']}, here {registry.runtime(name)}"
    assert not missing, versions


def test_garbage_is_collected_before_it_fills_the_memory(tmp_path):
    task = solutions.problems(here("go"))[53]
    body = (
        "    s := make([]byte, 1<<20)\n    for i := 0; i < 500; i++ { s = append(s[:9:9], s...) }\n"
    )
    rows = judged(tmp_path, [(task, f"{body}    return x + y + len(s)*0\n}}\n")], memory_mb=256)
    assert rows[0].cause == "passed", rows[0]


@pytest.mark.parametrize("name", QUICK)
def test_no_early_exit_passes_and_no_neighbour_is_harmed(name, tmp_path):
    """The cheap ones; `benchmarks/evaluate_languages.py --attacks` runs them all, everywhere."""
    task = solutions.problems(here(name))[53]
    honest = solutions.solutions()[name][53]
    attacks = [row for row in attacks_languages.ATTACKS[name] if row[2] == attacks_languages.EARLY]
    pairs = []
    for place, (_, source, _) in enumerate(attacks):
        pairs += [(task, "    " + source + "\n"), (task, honest + "\n" * place)]
    rows = judged(tmp_path, pairs) if pairs else []
    for (title, _, causes), row in zip(attacks, rows[::2], strict=True):
        assert row.cause in causes, (title, row)
    assert all(row.cause == "passed" for row in rows[1::2])


def test_an_absent_language_says_what_installs_it(monkeypatch, capsys):
    monkeypatch.setattr(spec.shutil, "which", lambda *_, **__: None)
    with pytest.raises(InputError, match=r"lua: lua not found.*apt-get install lua5\.4"):
        registry.named("lua").require()
    registry.runtime.cache_clear()
    registry.list_languages()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(registry.LANGUAGES)
    assert all("absent; install with: " in line for line in lines)
    registry.runtime.cache_clear()


def test_an_unknown_language_is_one_line():
    with pytest.raises(InputError, match=r"language 'cobol'; expected one of python, javascript"):
        registry.named("cobol")


def test_every_row_has_what_it_needs():
    names = [n for row in registry.LANGUAGES.values() for n in (row.name, *row.also)]
    assert len(names) == len(set(names)) >= 16
    drivers = {
        path.name for path in (pathlib.Path(toolchain_cache.__file__).parent / "drivers").iterdir()
    }
    for row in registry.LANGUAGES.values():
        used = [word for word in row.command("tests", "f", 64) if "/kit/drivers/" in word]
        assert {word.rpartition("/")[2] for word in used} <= drivers
        assert not any("{" in word for word in row.command("tests", "f", 64))


def test_a_token_goes_behind_the_tests():
    program = program_files.cpp(
        "#include <bits/stdc++.h>\n", "int main() {\n f();\n return 0;\n}\n"
    )
    assert "codex_jax_done();\nreturn 0;" in program["program.cpp"]
    assert program["all.txt"] and not program_files.cpp("", "int main() {}")["all.txt"]
    assert (
        program_files.java_main("class A {}\nclass B { public static void main(String[] a) {} }")
        == "B"
    )


def test_a_compiler_that_takes_too_long_is_not_the_program_s_error():
    made = {"ok": False, "why": "cpu", "cpu_s": 30.0, "said": ""}
    assert toolchain_sandbox._not_made(made).cause == "time_limit"


def test_bytecode_beside_the_drivers_is_left_there(monkeypatch, tmp_path):
    drivers = tmp_path / "drivers"
    (drivers / "__pycache__").mkdir(parents=True)
    (drivers / "driver.js").write_text("x")
    monkeypatch.setattr(toolchain_cache, "_DRIVERS", drivers)
    monkeypatch.setattr(toolchain_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    toolchain_cache.drivers.cache_clear()
    assert [path.name for path in (toolchain_cache.drivers() / "drivers").iterdir()] == [
        "driver.js"
    ]
    toolchain_cache.drivers.cache_clear()


def test_kits_are_refused_where_others_could_write(monkeypatch, tmp_path):
    monkeypatch.setattr(toolchain_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    toolchain_cache.drivers.cache_clear()
    folder = toolchain_cache.drivers()
    assert (folder / "drivers" / "driver.js").is_file()
    folder.parent.chmod(0o777)
    toolchain_cache.drivers.cache_clear()
    with pytest.raises(InputError, match="isn't ours alone"):
        toolchain_cache.drivers()
    toolchain_cache.drivers.cache_clear()
