"""Programs in other languages judged from outside: what they answer, beside a Python reference."""

import json

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.judging import foreign
from codex_jax.evaluate.languages import registry
from codex_jax.evaluate.problems import formats

REFERENCE = "def f(numbers, text):\n    return max(numbers), text + '!', len(numbers) / 2\n"
TEST = """
def check(candidate):
    assert candidate([3, 1, 2], "ab") == (3, "ab!", 1.5)
    assert candidate([1, 5], 'é"') == (5, 'é"!', 1.0)
"""
RIGHT = {
    "javascript": "function f(a, s) { return [Math.max(...a), s + '!', a.length / 2]; }",
    "ruby": "def f(a, s)\n  [a.max, s + '!', a.length / 2.0]\nend",
    "php": "<?php function f($a, $s) { return [max($a), $s . '!', count($a) / 2]; }",
    "perl": "sub f { my ($l, $s) = @_; my ($m) = sort { $b <=> $a } @$l; [$m, $s . '!', @$l / 2] }",
    "lua": "function f(a, s) return {math.max(table.unpack(a)), s .. '!', #a / 2} end",
}


def causes(folder, language, programs, **settings) -> list[str]:
    task = {"task_id": "t", "prompt": "", "entry_point": "f", "test": TEST, "mode": "outside"}
    task |= {"language": language, "reference": REFERENCE}
    (folder / "p.jsonl").write_text(json.dumps(task) + "\n")
    rows = [
        records.Completion(task_id="t", completion=text, sample_index=i)
        for i, text in enumerate(programs)
    ]
    records.write_jsonl(folder / "c.jsonl", rows)
    files = {"problems": str(folder / "p.jsonl"), "completions": str(folder / "c.jsonl")}
    evaluate(**files, output=str(folder / "out"), sandbox="bubblewrap", **settings)
    rows = records.read_jsonl(folder / "out" / "verdicts.jsonl", records.Verdict)
    rows = sorted(rows, key=lambda row: row.sample_index)
    assert {row.extra["mode"] for row in rows} == {"outside"}
    return [row.cause for row in rows]


@pytest.mark.parametrize("language", RIGHT)
def test_right_answers_pass_and_wrong_ones_do_not(language, tmp_path):
    if reason := registry.absence(language, ""):
        pytest.skip(f"{language} is {reason}")
    right = RIGHT[language]
    programs = [right, right.replace("'!'", "'?'"), right.replace("f", "g", 2), right + "((("]
    results = causes(tmp_path, language, programs)
    assert results[:2] == ["passed", "wrong_answer"]
    assert set(results[2:]) <= {"exception", "syntax_or_compile_error", "exited_early"}


def test_nothing_a_program_says_of_itself_is_believed(tmp_path):
    if reason := registry.absence("javascript", ""):
        pytest.skip(f"javascript is {reason}")
    programs = [
        "function f() { process.exit(0); }",
        "function f() { require('fs').writeSync(3, '{\"value\": [3]}\\n'); return 1; }",
        "function f() { return {valueOf() { return 3; }, toJSON() { return [3]; }}; }",
        "function f() { for (;;); }",
        "Array.isArray = () => false; function f() { return 1; }",
        "function f() { throw new RangeError('passed'); }",
        "require('assert').deepEqual = () => {}; function f() {}",
    ]
    results = causes(tmp_path, "javascript", programs, timeout_s=1.5)
    assert "passed" not in results
    assert results[0] == "exited_early"
    assert results[3] == "time_limit"
    assert results[5] == "exception"


@pytest.mark.parametrize(
    ("answer", "expected", "coerced"),
    [
        ([1, [2.0]], (1, [2]), (1, [2])),
        ([1, 2, 3], (5,), (1, 2, 3)),
        (3, 2.5, 3.0),
        (2.5, 2, 2.5),
        ("", False, False),
        ([2, 1], {1, 2}, {1, 2}),
        ({"1": "a"}, {2: "b"}, {1: "a"}),
        ([], {}, {}),
        ("x", None, "x"),
        (True, 1, True),
    ],
)
def test_answers_take_the_reference_s_types(answer, expected, coerced):
    assert repr(foreign.coerce_to(answer, expected)) == repr(coerced)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"language": "bash"}, "bash can't be judged outside; expected javascript"),
        ({"reference": ""}, "lacks reference"),
    ],
)
def test_what_cannot_be_judged_outside_is_one_line(change, message, tmp_path):
    task = {"task_id": "t", "prompt": "", "entry_point": "f", "test": TEST, "mode": "outside"}
    task |= {"language": "ruby", "reference": REFERENCE, **change}
    (tmp_path / "p.jsonl").write_text(json.dumps(task) + "\n")
    with pytest.raises(InputError, match=message):
        formats.load_problems(str(tmp_path / "p.jsonl"))
