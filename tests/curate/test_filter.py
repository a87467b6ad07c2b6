"""`curate filter`: every step drops what it should, planted benchmark problems among them."""

import ast
import json
import pathlib
import random
import re

import pytest

from codex_jax import InputError, records
from codex_jax.curate.execution import Call
from codex_jax.curate.filters import benchmarks, decontamination, filter
from codex_jax.evaluate.sandbox.program_runner import ProgramRunner
from codex_jax.main import cli

SOLUTIONS = {
    "below": "    for x in numbers:\n        if x < 0: return True\n    return False\n",
    "total": "    result = 0\n    for x in numbers:\n        result += x * x\n    return result\n",
    "pairs": "    return [(a, b) for a, b in zip(numbers, numbers[1:])]\n",
}


def problem(
    name, body=None, doc="Does what its name says with numbers.", **extra
) -> records.Problem:
    return records.Problem(
        task_id=f"p/{name}",
        prompt=f'def {name}(numbers):\n    """{doc}"""\n',
        entry_point=name,
        test="def check(candidate):\n    assert candidate([1]) is not None\n",
        canonical_solution=SOLUTIONS[name] if body is None else body,
        extra={"license": "MIT", **extra},
    )


def human_eval(name) -> str:
    calls = ["[1, 2, 3]", "[-1, 2, 5]", "[4, 4]", "[-2, -3, 0, 1]"]
    test = "def check(candidate):\n" + "".join(f"    assert candidate({c}) == 0\n" for c in calls)
    return records.to_line(
        records.Problem(
            task_id=f"HumanEval/{name}",
            prompt=f'import math\n\n\ndef {name}(numbers: list):\n    """ Ask: {name}. """\n',
            entry_point=name,
            test=test,
            canonical_solution=SOLUTIONS[name],
        )
    )


def run(tmp_path, runner, rows, **settings) -> tuple[list[str], dict[str, dict]]:
    records.write_jsonl(tmp_path / "problems.jsonl", rows)
    output = tmp_path / "out"
    filter.filter_problems(
        problems=[str(tmp_path / "problems.jsonl")], output=str(output), runner=runner, **settings
    )
    names = [p.task_id for p in records.read_jsonl(output / "problems.jsonl", records.Problem)]
    steps = json.loads((output / "report.json").read_text())["steps"]
    return names, {row["step"]: row for row in steps}


def test_licenses(tmp_path, runner, capsys):
    rows = [
        problem("below"),
        problem("total", license="GPL-3.0-only"),
        problem("pairs", license=""),
    ]
    names, steps = run(tmp_path, runner, rows)
    assert names == ["p/below"]
    assert steps["license"]["examples"] == ["p/total (GPL-3.0-only)", "p/pairs (no license)"]
    assert "| license | 3 | 2 |" in capsys.readouterr().out
    assert len(run(tmp_path, runner, rows, licenses=[])[0]) == 3


@pytest.mark.parametrize(
    ("is_asked", "expected"), [(False, ["p/below", "p/total"]), (True, ["p/total"])]
)
def test_problems_that_no_sample_solves(tmp_path, runner, is_asked, expected):
    rows = [problem(name) for name in SOLUTIONS] + [
        problem("other", "    return len(numbers) + 7\n")
    ]
    passes = {"below": [1, 1], "total": [0, 1], "pairs": [0, 0]}
    verdicts = [
        records.Verdict(task_id=f"p/{n}", sample_index=i, verdict="passed" if p else "failed")
        for n, flags in passes.items()
        for i, p in enumerate(flags)
    ]
    records.write_jsonl(tmp_path / "verdicts.jsonl", verdicts)
    settings = {"verdicts": [str(tmp_path / "verdicts.jsonl")], "drop_always_solved": is_asked}
    names, steps = run(tmp_path, runner, rows, **settings)
    assert names == expected
    assert "p/pairs (solved by none of 2 samples)" in steps["samples"]["examples"]
    assert "p/other (no sample was judged)" in steps["samples"]["examples"]


@pytest.mark.parametrize(
    ("task_id", "verdict", "message"),
    [
        ("p/other", "passed", "verdicts on none of the 1 problems"),
        ("p/below", "infra_error", "verdicts on none of the 1 problems"),
        ("p/below", "left out", "verdicts on none of the 1 problems"),
        ("p/below", "yes", "verdict 'yes'; expected passed, failed"),
    ],
)
def test_verdicts_that_say_nothing_are_refused(tmp_path, runner, task_id, verdict, message):
    path = tmp_path / "verdicts.jsonl"
    records.write_jsonl(path, [records.Verdict(task_id=task_id, verdict=verdict)])
    with pytest.raises(InputError, match=message):
        run(tmp_path, runner, [problem("below")], verdicts=[str(path)])


def test_verdicts_on_other_problems_are_counted(tmp_path, runner, capsys):
    path = tmp_path / "verdicts.jsonl"
    rows = [records.Verdict(task_id=f"p/{n}", verdict="passed") for n in ("below", "x", "y")]
    records.write_jsonl(path, rows)
    names, _ = run(tmp_path, runner, [problem("below")], verdicts=[str(path)])
    assert names == ["p/below"]
    assert "2 verdicts are on other problems" in capsys.readouterr().out


def test_near_duplicates(tmp_path, runner):
    copy = problem("below").canonical_solution.replace("x", "value")
    rows = [problem("below"), problem("total"), problem("negative", copy)]
    names, steps = run(tmp_path, runner, rows)
    assert names == ["p/below", "p/total"]
    assert steps["near duplicates"]["examples"] == ["p/negative (p/below)"]


DISGUISES = {
    "copied": (SOLUTIONS["total"], "benchmarks: text"),
    "renamed": (re.sub(r"\bx\b", "item", SOLUTIONS["total"].replace("result", "acc")),
                "benchmarks: text"),
    "rewritten": ("    return sum(map(lambda n: n ** 2, numbers))\n", "benchmarks: behavior"),
    "loop": ("    i = s = 0\n    while i < len(numbers):\n        s += numbers[i] ** 2\n"
             "        i += 1\n    return s\n", "benchmarks: behavior"),
}  # fmt: skip


@pytest.mark.parametrize("name", DISGUISES)
def test_planted_problems_are_found(tmp_path, runner, name):
    body, expected = DISGUISES[name]
    (tmp_path / "bench.jsonl").write_text("".join(human_eval(n) + "\n" for n in SOLUTIONS))
    honest = problem("cubes", "    seen = [n ** 3 for n in numbers]\n    return seen\n")
    rows = [problem(name, body), honest]
    names, steps = run(tmp_path, runner, rows, benchmarks=[str(tmp_path / "bench.jsonl")])
    assert names == ["p/cubes"]
    assert steps[expected]["examples"] == [f"p/{name} (HumanEval/total)"]


class _Rename(ast.NodeTransformer):
    """Gives a function's own names others, and takes its annotations off."""

    def __init__(self, names):
        self.names = names

    def visit_Name(self, node):
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_arg(self, node):
        node.arg, node.annotation = self.names.get(node.arg, node.arg), None
        return node

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.name, node.returns = self.names.get(node.name, node.name), None
        return node


def disguise(row, number) -> records.Problem:
    """A benchmark's problem renamed, reformatted, and described in other words."""
    tree = ast.parse(row["prompt"] + row["canonical_solution"])
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    bound |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    names = {name: f"value_{number}_{index}" for index, name in enumerate(sorted(bound))}
    for function in functions:
        if ast.get_docstring(function) is not None and len(function.body) > 1:
            function.body = function.body[1:]
    (function,) = [node for node in functions if node.name == row["entry_point"]]
    words = ast.Expr(ast.Constant(f"Works the answer out from what it gets, as number {number}."))
    function.body.insert(0, words)
    text = ast.unparse(ast.fix_missing_locations(_Rename(names).visit(tree)))
    return records.Problem(
        task_id=f"planted/{row['task_id']}",
        prompt=text,
        entry_point=names[row["entry_point"]],
        extra={"license": "MIT"},
    )


def test_twenty_planted_functions_of_humaneval_are_found(tmp_path, runner):
    path = pathlib.Path("../shared/data/HumanEval.jsonl.gz")
    if not path.exists():
        pytest.skip("HumanEval isn't at ../shared/data")
    with records.open_text(path) as lines:
        every = [json.loads(line) for line in lines]
    few_calls = [every[34], every[38]]  # their tests have one call with literals, and none
    del every[38], every[34], every[32]  # 32 runs without end on most inputs: seconds
    rows = few_calls + random.Random(20).sample(every, 18)
    (tmp_path / "bench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    planted = [disguise(row, number) for number, row in enumerate(rows)]
    honest = problem("cubes", "    seen = [n ** 3 for n in numbers]\n    return seen\n")
    names, steps = run(
        tmp_path, runner, [*planted, honest], benchmarks=[str(tmp_path / "bench.jsonl")]
    )
    assert names == ["p/cubes"]
    dropped = {step: row["dropped"] for step, row in steps.items()}
    assert dropped["benchmarks: text"] + dropped["benchmarks: behavior"] == 20


def test_words_of_a_statement_are_found(tmp_path, runner):
    words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    row = {
        "task_id": 3,
        "text": words,
        "code": "def g(x):\n    return x\n",
        "test_list": ["assert g(1) == 1"],
    }
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(row) + "\n")
    rows = [problem("below", doc=f"Prove {words.title()}."), problem("total")]
    names, steps = run(tmp_path, runner, rows, benchmarks=[str(tmp_path / "mbpp.jsonl")])
    assert names == ["p/total"]
    assert steps["benchmarks: text"]["examples"] == ["p/below (MBPP/3)"]


def test_probes_of_each_format(tmp_path, session):
    rows = [
        {"task_id": 1, "text": "t", "code": "def g(x):\n    return x + 1\n",
         "test_list": ["assert g(1) == 2", "assert g(5) == 6"]},
        {"task_id": "HumanEval/0", "prompt": "def h(x):\n",
         "canonical_solution": "    return [x]\n", "entry_point": "h", "test": "",
         "base_input": [[1], [2], [3]]},
        {"name": "HumanEval_0_h", "language": "lua", "prompt": "-- words", "tests": ""},
    ]  # fmt: skip
    path = tmp_path / "b.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = benchmarks.read_benchmarks([str(path)])
    assert [len(task.calls) for task in tasks] == [2, 3, 0]
    probes = benchmarks.make_probes(tasks, session)
    assert [(probe.name, len(probe.calls)) for probe in probes] == [
        ("MBPP/1", 2),
        ("HumanEval/0", 3),
    ]


@pytest.mark.parametrize(
    ("prompt", "body", "test", "count"),
    [
        ("def h(numbers):\n", "    return [n * n for n in numbers]\n", "candidate([1, 2])", 8),
        ('def h(text):\n    """Doubles.\n\n    >>> h("ab")\n    \'abab\'\n    """\n',
         "    return text * 2\n", "", 8),
        ("def h(text: str):\n", "    return text[::-1] + '!'\n", "candidate(make())", 8),
        ("def h(text: str):\n", "    return text\n", "", 0),  # an echo says nothing
        ("def h(text: str):\n", "    return 3\n", "candidate('a')", 0),
        ("print 'Python 2'\ndef h(x):\n", "    return x\n", "candidate(1)", 0),
    ],
)  # fmt: skip
def test_calls_are_grown_where_a_test_has_too_few(tmp_path, session, prompt, body, test, count):
    row = {"task_id": "HumanEval/1", "prompt": prompt, "canonical_solution": body}
    row |= {"entry_point": "h", "test": f"def check(candidate):\n    {test or 'pass'}\n"}
    path = tmp_path / "b.jsonl"
    path.write_text(json.dumps(row) + "\n")
    probes = benchmarks.make_probes(benchmarks.read_benchmarks([str(path)]), session)
    assert [len(probe.calls) for probe in probes] == [count] * bool(count)
    assert all(probe.outputs[0] not in probe.calls[0].arguments for probe in probes)


def test_a_program_that_ends_early_is_stepped_over(session):
    calls = [Call((number,), {}) for number in (0, 2, 3, 4)]
    probes = [
        benchmarks.Probe("a", calls[:2], [1, 5]),
        benchmarks.Probe("b", calls[2:], [6, 8]),
    ]
    index = decontamination.BehaviorIndex(probes, session)
    body = "    import os\n    if numbers == 0:\n        os._exit(0)\n    return numbers * 2\n"
    assert index.find(problem("double", body)) == "b"


@pytest.mark.parametrize(
    ("parameters", "body", "expected"),
    [
        ("last, first", "return first + last * 2", "a"),
        ("first, last", "return first + last * 2", "a"),
        ("last, first", "return first + last * 3", ""),
        ("last", "return last", ""),
        ("*parts", "return parts[1] + parts[0] * 2", "a"),
    ],
)
def test_arguments_may_have_another_order(session, parameters, body, expected):
    calls = [Call(("x", "y"), {}), Call(("z", ""), {})]
    index = decontamination.BehaviorIndex([benchmarks.Probe("a", calls, ["xyy", "z"])], session)
    prompt = f'def join({parameters}):\n    """Joins texts."""\n'
    row = records.Problem(
        task_id="t", prompt=prompt, entry_point="join", canonical_solution=f"    {body}\n"
    )
    assert index.find(row) == expected


@pytest.mark.parametrize(("left", "right", "expected"), [
    ([1, (2, 3)], (1, [2, 3]), True), (0.1 + 0.2, 0.3, True), ([1], [1, 2], False),
    ("a", "b", False),
])  # fmt: skip
def test_outputs_that_are_alike(left, right, expected):
    assert decontamination.is_alike(left, right) == expected


def test_no_input_is_replaced(tmp_path, runner):
    path = tmp_path / "problems.jsonl"
    records.write_jsonl(path, [problem("below"), problem("below", "    return 1\n")])
    before = path.read_bytes()
    for inputs in ({"problems": [str(path)]}, {"problems": [], "benchmarks": [str(path)]}):
        with pytest.raises(InputError, match="is an input, which would be replaced"):
            filter.filter_problems(**inputs, output=str(tmp_path), runner=runner)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["problems.jsonl"]


def test_a_persons_problems_are_not_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "problems.jsonl"
    records.write_jsonl(path, [problem("below")])
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"holds 'problems\.jsonl', which this command"):
        run(tmp_path, None, [problem("below")])
    assert path.read_bytes() == before


def test_programs_that_are_too_deep_to_parse_stop_nothing(tmp_path, runner):
    deep = f"    return numbers{'.x' * 1500}\n", f"    return {'-' * 20_000}numbers\n"
    deep += tuple(
        f"    {before} = 0x{'f' * 4000}\n    return x\n" for before in ("x", "numbers, x")
    )
    rows = [problem("below"), *(problem(f"f{n}", body) for n, body in enumerate(deep))]
    calls = "".join(f"    assert candidate({'-' * n}1) == {'-' * n}1\n" for n in (900, 20_000))
    planted = [json.loads(human_eval("total")) | {"test": f"def check(candidate):\n{calls}"}]
    planted += [json.loads(human_eval("total")) | {"canonical_solution": body} for body in deep]
    path = tmp_path / "b.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in planted))
    names, _ = run(tmp_path, runner, rows, benchmarks=[str(path)])
    assert "p/below" in names


def test_texts_that_utf_8_cannot_hold(tmp_path, runner):
    run(tmp_path, runner, [problem("below", license="MIT\ud800|"), problem("total")])
    assert "`p/below (MIT\\ud800\\|)` |" in (tmp_path / "out" / "report.md").read_text()
    path = tmp_path / "b.jsonl"
    for row in (
        json.loads(human_eval("total")) | {"task_id": "\ud800"},
        {"task_id": "\ud800", "test_list": []},
    ):
        path.write_text(json.dumps(row) + "\n")
        with pytest.raises(InputError, match=r"b\.jsonl:1: expected a problem of HumanEval"):
            run(tmp_path, runner, [problem("below")], benchmarks=[str(path)])


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"sandbox": "docker"}, "sandbox 'docker'; expected"), ({"timeout_s": -1.0}, "timeout_s=-1")],
)
def test_settings_of_the_runner_are_checked_where_no_program_runs(tmp_path, fields, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, ProgramRunner(**fields), [problem("below")])


def test_bad_input_is_one_line(tmp_path, runner, capsys):
    with pytest.raises(InputError, match="drop_always_solved is True without verdicts"):
        run(tmp_path, runner, [problem("below")], drop_always_solved=True)
    with pytest.raises(InputError, match=r"jaccard=0.*set it so"):
        run(tmp_path, runner, [problem("below")], jaccard=0.0)
    (tmp_path / "b.jsonl").write_text("{}\n")
    rows = [{}, {"task_id": 1, "test_list": "assert f(1)"}, {"task_id": "t", "prompt": 3}]
    humaneval = {"task_id": "t", "prompt": "p", "canonical_solution": "s", "entry_point": "f"}
    rows += [humaneval | {"base_input": inputs} for inputs in ("12", {"a": 1}, ["ab"])]
    rows += [humaneval | {"entry_point": 3}]
    for row in rows:
        (tmp_path / "b.jsonl").write_text(json.dumps(row) + "\n")
        with pytest.raises(InputError, match=r"b.jsonl:1: expected a problem of HumanEval"):
            run(tmp_path, runner, [problem("below")], benchmarks=[str(tmp_path / "b.jsonl")])
    (tmp_path / "b.jsonl").write_text("\n")
    with pytest.raises(InputError, match=r"b.jsonl: no problem; set benchmarks"):
        run(tmp_path, runner, [problem("below")], benchmarks=[str(tmp_path / "b.jsonl")])
    for name in ("", "MIT OR ISC", "MITT"):
        with pytest.raises(InputError, match=r"isn't an SPDX identifier; .*set licenses"):
            run(tmp_path, runner, [problem("below")], licenses=[name])
    with pytest.raises(InputError, match=r"p/below: license is \['MIT'\]; expected an SPDX"):
        run(tmp_path, runner, [problem("below", license=["MIT"])])
    with pytest.raises(InputError, match="two problems that differ have the task_id 'p/below'"):
        run(tmp_path, runner, [problem("below"), problem("below", "    return 7\n")])
    for name in ("verdicts", "benchmarks"):
        with pytest.raises(InputError, match=f"{name} has 'a.jsonl' twice; set it to distinct"):
            run(tmp_path, runner, [problem("below")], **{name: ["a.jsonl", "a.jsonl"]})
    with pytest.raises(InputError, match="no problems; expected JSON Lines"):
        run(tmp_path, runner, [])
    with pytest.raises(InputError, match="no such file"):
        run(tmp_path, runner, [problem("below")], benchmarks=[str(tmp_path / "absent")])
    assert (
        cli.main(["curate", "filter", f"--problems=['{tmp_path}/none']", f"--output={tmp_path}/o"])
        == 2
    )
    assert "no such file" in capsys.readouterr().err
