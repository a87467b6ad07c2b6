"""Other languages: right programs pass, wrong ones fail, and rows say how they were judged."""

import dataclasses
import json
import pathlib

import pytest

from codex_jax.evaluate.languages import registry, toolchain_sandbox
from tests.evaluate import attacks_languages, solutions
from tests.evaluate.solutions import judged

KNOWN_GOOD = json.loads(pathlib.Path(__file__).with_name("known_good.json").read_text())
QUICK = ("javascript", "lua", "bash", "perl", "php", "ruby", "go", "cpp")


def require(name: str) -> str:
    if reason := solutions.absent(name):
        pytest.skip(reason)
    return name


@pytest.mark.parametrize("name", QUICK)
def test_a_right_program_passes_and_a_wrong_one_says_why(name, tmp_path):
    tasks = solutions.problems(require(name))
    right = solutions.solutions()[name]
    pairs = [(tasks[53], right[53]), (tasks[53], right[41].replace("n", "x")), (tasks[53], "(((")]
    rows = judged(tmp_path, pairs)
    assert rows[0].verdict == "passed", rows[0]
    assert {row.verdict for row in rows[1:]} == {"failed"}, rows
    assert rows[2].cause in ("syntax_or_compile_error", "exception")
    assert {row.extra["mode"] for row in rows} == {"in-process"}
    assert {row.extra["runtime"] for row in rows} == {registry.tool_version(name)}


def test_languages_alternate_in_every_sandbox(isolation, tmp_path):
    """Judges several languages in a run: the toolchain of one doesn't disturb the next."""
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
    """C++ and Scala are slow: `benchmarks/evaluate_languages.py --known_good`."""
    pairs = solutions.known_good(require(name))
    rows = judged(tmp_path, pairs)
    passed = {int(row.task_id.split("_")[1]) for row in rows if row.verdict == "passed"}
    missing = set(KNOWN_GOOD[name]["passed"]) - passed
    versions = f"recorded with {KNOWN_GOOD[name]['runtime']}, here {registry.tool_version(name)}"
    assert not missing, versions


def test_garbage_is_collected_before_it_fills_the_memory(tmp_path):
    task = solutions.problems(require("go"))[53]
    body = (
        "    s := make([]byte, 1<<20)\n    for i := 0; i < 500; i++ { s = append(s[:9:9], s...) }\n"
    )
    rows = judged(tmp_path, [(task, f"{body}    return x + y + len(s)*0\n}}\n")], memory_mb=256)
    assert rows[0].cause == "passed", rows[0]


@pytest.mark.parametrize("name", QUICK)
def test_no_early_exit_passes_and_no_neighbor_is_harmed(name, tmp_path):
    """The cheap ones; `benchmarks/evaluate_languages.py --attacks` runs them all, everywhere."""
    task = solutions.problems(require(name))[53]
    right = solutions.solutions()[name][53]
    attacks = [row for row in attacks_languages.ATTACKS[name] if row[2] == attacks_languages.EARLY]
    pairs = []
    for index, (_, source, _) in enumerate(attacks):
        pairs += [(task, "    " + source + "\n"), (task, right + "\n" * index)]
    rows = judged(tmp_path, pairs) if pairs else []
    for (title, _, causes), row in zip(attacks, rows[::2], strict=True):
        assert row.cause in causes, (title, row)
    assert all(row.cause == "passed" for row in rows[1::2])


def test_a_compiler_that_takes_too_long_is_not_the_program_s_error():
    result = {"ok": False, "reason": "cpu", "cpu_s": 30.0, "output": ""}
    language = registry.find_language("c")
    assert toolchain_sandbox._compile_failure(language, "", result).cause == "time_limit"


@pytest.mark.parametrize("name", ["c", "cpp", "rust"])
def test_a_program_may_read_its_standard_input(name, tmp_path):
    task, right = solutions.problems(require(name))[53], solutions.solutions()[name][53]
    c = "    while (getchar() >= 0);\n"
    reads = {"c": c, "cpp": c, "rust": "    std::io::stdin().lines().count();\n"}[name]
    head = "#include <stdio.h>\n" if name != "rust" else ""
    task = dataclasses.replace(task, prompt=head + task.prompt)
    assert [row.cause for row in judged(tmp_path, [(task, reads + right)])] == ["passed"]
