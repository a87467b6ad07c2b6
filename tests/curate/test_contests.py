"""`curate contests` on small files of our own in the formats of APPS and CodeContests."""

import json

import pytest

from codex_jax import InputError, records
from codex_jax.curate.contests import contests
from codex_jax.curate.problems import trial
from codex_jax.evaluate.sandbox.program_runner import RunnerSession
from codex_jax.main import cli
from tests.curate.conftest import load, run_check

RIGHT = [
    "n = int(input())\nprint(sum(map(int, input().split())))\n",
    "import sys\ninput = sys.stdin.readline\ndef main():\n    input()\n    total = 0\n"
    "    for x in input().split():\n        total += int(x)\n    print(total)\nmain()\n",
]
WRONG = ["input()\nprint(sum(abs(int(x)) for x in input().split()))\n"]
CASES = [(f"3\n{n} {n + 1} 5\n", f"{2 * n + 6}\n") for n in range(6)]
STATEMENT = "Print the sum of n numbers.\n\nThe first line holds n."


def apps(**fields) -> dict:
    inputs, outputs = zip(*CASES, strict=True)
    row = {"problem_id": 7, "question": STATEMENT, "solutions": json.dumps(RIGHT), "url": "u"}
    row["input_output"] = json.dumps({"inputs": inputs, "outputs": outputs})
    return row | {"incorrect_solutions": json.dumps(WRONG)} | fields


def code_contests(*, as_lists: bool) -> dict:
    tests = [{"input": value, "output": expected} for value, expected in CASES]
    programs = [{"language": 3, "solution": source} for source in RIGHT]
    programs.append({"language": 1, "solution": "print raw_input()"})
    programs.append({"language": 2, "solution": "int main() {}"})
    wrong = [{"language": 3, "solution": source} for source in WRONG]

    def shape(rows):
        return rows if as_lists else {key: [row[key] for row in rows] for key in rows[0]}

    return {
        "name": "1_A. Sum", "description": STATEMENT, "source": 2, "public_tests": shape(tests[:2]),
        "private_tests": shape(tests[2:]),
        "generated_tests": [] if as_lists else {"input": [], "output": []},
        "solutions": shape(programs), "incorrect_solutions": shape(wrong),
    }  # fmt: skip


def make(tmp_path, runner, *rows, **settings) -> tuple[list[records.Problem], dict]:
    path = tmp_path / "contests.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "out"
    contests.write_contests(contests=str(path), output=str(output), runner=runner, **settings)
    problems = list(records.read_jsonl(output / "problems.jsonl", records.Problem))
    return problems, json.loads((output / "report.json").read_text())["reasons"]


def test_both_formats_in_both_shapes(tmp_path, runner):
    rows = [apps(), code_contests(as_lists=True)]
    rows.append(code_contests(as_lists=False) | {"name": "2"})
    problems, reasons = make(tmp_path, runner, *rows, license="CC-BY-4.0")
    assert reasons == {"made a problem": 3}
    names = ["contests/apps/7", "contests/code_contests/1_A. Sum", "contests/code_contests/2"]
    assert [problem.task_id for problem in problems] == names
    for problem in problems:
        assert problem.extra["right_programs"] == 2
        assert problem.extra["license"] == "CC-BY-4.0"
        assert "Print the sum of n numbers." in problem.prompt
        solve = load(problem.prompt + problem.canonical_solution, "solve")
        run_check(problem.test, solve)
        run_check(problem.extra["shadow"], solve)
    assert problems[1].extra["source"] == "codeforces"


def test_cases_grow_where_a_wrong_program_differs(tmp_path, runner):
    negative = [("2\n-1 4\n", "3\n"), *CASES[:2]]
    inputs, outputs = zip(*negative, strict=True)
    row = apps(input_output=json.dumps({"inputs": inputs, "outputs": outputs}))
    (problem,), _ = make(tmp_path, runner, row)
    assert problem.extra["grown_cases"] > 0
    (alone,), _ = make(tmp_path, runner, row | {"incorrect_solutions": "[]"})
    assert alone.extra["grown_cases"] == 0


def test_right_programs_that_disagree_need_a_checker(tmp_path, runner):
    any_order = ["print(*input().split())\n", "print(*input().split()[::-1])\n"]
    io = {"inputs": ["a b\n", "c d e\n", "x y\n"], "outputs": ["a b\n", "c d e\n", "x y\n"]}
    row = apps(solutions=json.dumps(any_order), input_output=json.dumps(io))
    assert make(tmp_path, runner, row) == ([], {"its right programs disagree": 1})
    checker = "def is_right(value, expected, output):\n"
    checker += "    return sorted(output.split()) == sorted(expected.split())\n"
    (problem,), _ = make(tmp_path, runner, row | {"checker": checker})
    assert problem.extra["right_programs"] == 2
    run_check(problem.test, lambda text: " ".join(reversed(text.split())))
    with pytest.raises(AssertionError):
        run_check(problem.test, lambda text: text[:1])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"solutions": "[]"}, "no program in Python 3 that can be a function"),
        ({"solutions": json.dumps(["print raw_input()"])}, "no program in Python 3"),
        ({"solutions": json.dumps(["input()\nprint(1)\n"])}, "no program passes its cases"),
        ({"input_output": "{}"}, "fewer than 2 short cases"),
        ({"input_output": json.dumps({"inputs": ["x" * 9999] * 3, "outputs": ["1"] * 3})},
         "fewer than 2 short cases"),
        ({"input_output": json.dumps({"inputs": ["1 2\n", "1 2\r\n"], "outputs": ["3\n"] * 2})},
         "fewer than 2 short cases"),
        ({"input_output": json.dumps({"inputs": ["1 2", "1 2\n", "1 2 \n"], "outputs": ["3"] * 3})},
         "fewer than 2 short cases"),
        ({"solutions": [f"{RIGHT[0]}x = 0x{'f' * 4000}\n"]}, "no program in Python 3"),
        ({"question": " \n"}, "no statement, or a long one"),
        ({"question": "word " * 9999}, "no statement, or a long one"),
    ],
)  # fmt: skip
def test_problems_that_fall_out(tmp_path, runner, fields, reason):
    problems, reasons = make(tmp_path, runner, apps(**fields))
    assert problems == []
    assert next(iter(reasons)).startswith(reason)


def test_functions_by_name(tmp_path, runner):
    method = "class Solution:\n    def join(self, parts: list, sep: str) -> str:\n"
    method += "        return sep.join(parts)\n"
    plain = "def join(parts, sep):\n    text = ''\n    for p in parts:\n        text += p + sep\n"
    plain += "    return text[:-1]\n"
    io = {"fn_name": "join", "inputs": [[["a", "b"], "-"], [["c"], "+"], [["x", "y", "z"], "/"]]}
    io["outputs"] = ["a-b", "c", "x/y/z"]
    row = apps(
        solutions=json.dumps([method, plain]), input_output=json.dumps(io), incorrect_solutions="[]"
    )
    (problem,), _ = make(tmp_path, runner, row)
    assert problem.entry_point == "join"
    run_check(problem.test, load(problem.prompt + problem.canonical_solution, "join"))


SUM = "def total(n, m):\n    return n + m\n"


@pytest.mark.parametrize("wrapped", [True, False])
def test_apps_may_put_a_list_around_a_function_s_value(tmp_path, runner, wrapped):
    inputs = [[1, 2], [3, 4], [5, 6], [0.5, float("inf")]]
    outputs = [[sum(pair)] if wrapped else sum(pair) for pair in inputs]
    io = {"fn_name": "total", "inputs": inputs, "outputs": outputs}
    row = apps(solutions=json.dumps([SUM]), input_output=json.dumps(io), incorrect_solutions="[]")
    (problem,), _ = make(tmp_path, runner, row)
    solve = load(problem.prompt + problem.canonical_solution, "total")
    tests = problem.test + problem.extra["shadow"]
    assert "float('inf')" in tests
    for test in (problem.test, problem.extra["shadow"]):
        run_check(test, solve)
        with pytest.raises(AssertionError):
            run_check(test, lambda n, m: [n + m])


def test_a_value_that_is_a_list_of_one_stays_one(tmp_path, runner):
    io = {"fn_name": "last", "inputs": [[[1, 2]], [[3, 4]], [[5, 6]]], "outputs": [[2], [4], [6]]}
    program = "def last(xs):\n    return xs[-1:]\n"
    row = apps(
        solutions=json.dumps([program]), input_output=json.dumps(io), incorrect_solutions="[]"
    )
    (problem,), _ = make(tmp_path, runner, row)
    run_check(problem.test, lambda xs: [xs[-1]])
    with pytest.raises(AssertionError):
        run_check(problem.test, lambda xs: xs[-1])


def test_texts_may_be_lists_of_lines(tmp_path, runner):
    lines = {"inputs": [value.splitlines() for value, _ in CASES]}
    lines["outputs"] = [[expected.strip()] for _, expected in CASES]
    (problem,), _ = make(tmp_path, runner, apps(input_output=json.dumps(lines)))
    run_check(problem.test, load(problem.prompt + problem.canonical_solution, "solve"))


def test_a_reference_whose_outputs_depend_on_the_run_is_no_problem(tmp_path, runner, monkeypatch):
    """It answers otherwise under the last of the hash seeds, and right under all others."""
    real = RunnerSession.run

    def run(session, source, entry_point, calls, *, index=0):
        if index == trial.HASH_SEEDS - 1:
            source = source.replace("ord('0')", "ord('1')")
        return real(session, source, entry_point, calls, index=index)

    program = "n = input()\nprint(len(n) + ord('0'))\n"
    io = {"inputs": ["a\n", "bb\n", "ccc\n"], "outputs": ["49", "50", "51"]}
    row = apps(solutions=json.dumps([program]), input_output=json.dumps(io))
    assert len(make(tmp_path / "a", runner, row)[0]) == 1
    monkeypatch.setattr(RunnerSession, "run", run)
    problems, reasons = make(tmp_path / "b", runner, row)
    assert problems == []
    assert reasons == {"its reference fails its test in another run": 1}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{}, {}], r"contests\.jsonl:2: apps/7 is in .*contests\.jsonl:1 already"),
        ([{"problem_id": ""}], r"contests\.jsonl:1: no name; expected problem_id"),
        ([{"problem_id": 1}, {"problem_id": " "}], r"contests\.jsonl:2: no name"),
    ],
)
def test_every_problem_has_a_name_of_its_own(tmp_path, runner, rows, message):
    with pytest.raises(InputError, match=message):
        make(tmp_path, runner, *(apps(**fields) for fields in rows))


def test_of_two_definitions_the_last_counts(tmp_path, runner):
    source = "class f:\n    pass\n\n\ndef f(x):\n    return x\n"
    tests = {"inputs": [[n] for n in range(4)], "outputs": list(range(4)), "fn_name": "f"}
    (problem,), _ = make(tmp_path, runner, apps(solutions=[source], input_output=tests))
    assert load(problem.prompt + problem.canonical_solution, "f")(3) == 3


def test_a_contest_that_is_too_deep_to_parse_has_a_reason(tmp_path, runner, monkeypatch):
    def raise_it(*_, **__):
        raise RecursionError

    monkeypatch.setattr(contests.growth, "grow_cases", raise_it)
    assert make(tmp_path, runner, apps()) == ([], {"too deep to parse": 1})


def test_a_persons_problems_are_not_replaced(tmp_path):
    path = tmp_path / "problems.jsonl"
    path.write_text('{"task_id": "mine"}\n')
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(apps()) + "\n")
    with pytest.raises(InputError, match=r"holds 'problems\.jsonl', which this command"):
        contests.write_contests(contests=str(rows), output=str(tmp_path), runner=None)
    assert path.read_text() == '{"task_id": "mine"}\n'


def test_a_license_that_is_no_expression_is_refused(tmp_path, runner):
    with pytest.raises(InputError, match="license is 'all mine'; expected an SPDX expression"):
        make(tmp_path, runner, apps(), license="all mine")
    assert not (tmp_path / "out").exists()


def test_bad_input_is_one_line(tmp_path, runner, capsys):
    with pytest.raises(InputError, match="expected the fields of APPS or of CodeContests"):
        make(tmp_path, runner, {"x": 1})
    with pytest.raises(InputError, match=r"contests.jsonl:1: malformed"):
        make(tmp_path, runner, {"question": "q", "solutions": "{"})
    for field, value in (("question", 5), ("solutions", "[5]"), ("checker", ["x"]), ("url", 5)):
        with pytest.raises(InputError, match=r"contests.jsonl:2: malformed .* is no text"):
            make(tmp_path, None, apps(), apps(**{"problem_id": 2, field: value}))
    io = {"inputs": {"a": 1}, "outputs": {"b": 2}}
    for fields in ({"input_output": io}, {"solutions": '{"a": 1}'}, {"solutions": '"x"'}):
        with pytest.raises(InputError, match=r"malformed .* is no list.*a row of APPS$"):
            make(tmp_path, None, apps(**fields))
    for name in (["a"], True, 1.5):
        with pytest.raises(InputError, match="is no name"):
            make(tmp_path, None, apps(problem_id=name))
    with pytest.raises(InputError, match=r"contests.jsonl:1: malformed .UnicodeEncodeError"):
        make(tmp_path, None, apps(problem_id="\ud800"))
    with pytest.raises(InputError, match=r"malformed .RecursionError"):
        make(tmp_path, None, apps(input_output="[" * 100_000))
    for field, value in (
        ("solutions", {"language": "3", "solution": "p"}),
        ("solutions", 3),
        ("public_tests", [{"input": 1, "output": 2}]),
        ("public_tests", [{"input": None, "output": None}]),
    ):
        row = {"name": "x", "description": "d", "solutions": [], field: value}
        with pytest.raises(InputError, match=r"malformed .*(no list|no text).*of CodeContests$"):
            make(tmp_path, None, row)
    with pytest.raises(InputError, match="no contests; expected JSON Lines"):
        make(tmp_path, None)
    with pytest.raises(InputError, match="set it so"):
        make(tmp_path, runner, apps(), grown_cases=-1)
    command = ["curate", "contests", f"--contests={tmp_path}/absent", f"--output={tmp_path}/o"]
    assert cli.main(command) == 2
    assert "no such file" in capsys.readouterr().err
