"""`curate docstrings`: sampled docstrings become problems; what proves them is a passing sample."""

import json

import pytest

from codex_jax import InputError, records
from codex_jax.curate import docstrings
from codex_jax.curate.filters import filter
from codex_jax.curate.problems.usefulness import RejectedError
from codex_jax.main import cli

BODY = "    result = 0\n    for x in numbers:\n        result += x * x\n    return result\n"
WORDS = "Returns the sum of the squares of numbers."


def problem(name="total", prompt=None, body=BODY, **fields) -> records.Problem:
    return records.Problem(
        task_id=f"traces/p/{name}",
        prompt=f"import math\n\n\ndef {name}(numbers):\n" if prompt is None else prompt,
        entry_point=name,
        test="def check(candidate):\n    assert candidate([1, 2]) == 5\n",
        canonical_solution=body,
        extra={"license": "MIT", "package": "p", "documented": False, **fields},
    )


def sample(text, name="total", index=0, reason="stop") -> records.Completion:
    return records.Completion(
        task_id=f"traces/p/{name}", completion=text, sample_index=index, finish_reason=reason
    )


def run(tmp_path, problems, samples=None) -> list[records.Problem]:
    records.write_jsonl(tmp_path / "undocumented.jsonl", problems)
    paths = []
    if samples is not None:
        records.write_jsonl(tmp_path / "samples.jsonl", samples)
        paths = [str(tmp_path / "samples.jsonl")]
    docstrings.write_docstrings(
        problems=[str(tmp_path / "undocumented.jsonl")],
        output=str(tmp_path / "out"),
        completions=paths,
    )
    path = tmp_path / "out" / ("prompts.jsonl" if samples is None else "documented.jsonl")
    return list(records.read_jsonl(path, records.Problem))


def test_prompts_are_programs_that_end_in_opening_quotes(tmp_path, capsys):
    other = problem("other", prompt='def other(numbers):\n    """Old words."""\n')
    prompts = run(tmp_path, [problem(), other, problem("absent", prompt="x = 1\n", body="y = 2\n")])
    assert [prompt.task_id for prompt in prompts] == ["traces/p/total", "traces/p/other"]
    assert prompts[0].prompt == f'import math\n\n\ndef total(numbers):\n{BODY}    """'
    assert "Old words" not in prompts[1].prompt
    assert "assert" not in json.dumps([records.to_line(prompt) for prompt in prompts])
    assert "2 prompts of 3 problems" in capsys.readouterr().out


def test_each_distinct_docstring_makes_a_problem(tmp_path, capsys):
    texts = [WORDS, f'{WORDS}\n    """\n\n\ndef g(x):', "Adds the squares of all numbers up."]
    rows = run(tmp_path, [problem()], [sample(text, index=i) for i, text in enumerate(texts)])
    assert len(rows) == len({row.task_id for row in rows}) == 2
    assert rows[0].prompt == (f'import math\n\n\ndef total(numbers):\n    """{WORDS}\n    """\n')
    assert (rows[0].test, rows[0].canonical_solution) == (problem().test, BODY)
    expected = {"license": "MIT", "package": "p", "documented": True, "docstring": "sampled"}
    assert rows[0].extra == expected | {"origin": "traces/p/total"}
    output = capsys.readouterr().out
    assert "| makes a problem | 2 |" in output
    assert "| the same as another | 1 | `traces/p/total` |" in output
    assert "2 problems of 1 functions" in output


def test_a_name_belongs_to_its_docstring(tmp_path):
    first = run(tmp_path, [problem()], [sample(WORDS), sample("Adds the squares up.", index=1)])
    again = run(tmp_path, [problem()], [sample("Adds the squares up."), sample(WORDS, index=1)])
    assert {row.task_id: row.prompt for row in first} == {row.task_id: row.prompt for row in again}


@pytest.mark.parametrize(
    ("text", "reason", "ending"),
    [
        ("Returns the sum of", "has no end", "length"),
        (" \n    ", "is empty", "stop"),
        ("Adds numbers.", "its docstring says little", "stop"),
        ("Is deprecated, use sum of squares.", "deprecated", "stop"),
        ("Many words. " * 400, "a long docstring", "stop"),
        ("Says a bad escape: \\x1", "isn't Python", "stop"),
        ("A null \0 is in these words", "isn't Python", "stop"),
    ],
)
def test_docstrings_of_no_use(text, reason, ending):
    with pytest.raises(RejectedError, match=reason):
        docstrings.with_sample(problem(), sample(text, reason=ending))


def test_a_docstring_that_ends_in_time_is_taken():
    ended = sample(f'{WORDS}\n    """\n\n\ndef g', reason="length")
    assert WORDS in docstrings.with_sample(problem(), ended).prompt


@pytest.mark.parametrize("indent", ["  ", "\t", "        "])
def test_any_indentation(indent):
    body = f"{indent}# squares\n{indent}result = [x * x for x in numbers]\n{indent}return result\n"
    row = docstrings.with_sample(problem(body=body), sample(WORDS))
    namespace: dict = {}
    exec(row.prompt + row.canonical_solution, namespace)
    assert namespace["total"]([1, 2]) == [1, 4]
    assert namespace["total"].__doc__.strip() == WORDS


def test_a_prompt_that_has_a_part_of_the_body_changes_nothing_else():
    prompt = (
        'def total(numbers):\n    """Old words that are replaced."""\n    numbers = list(numbers)\n'
    )
    row = docstrings.with_sample(problem(prompt=prompt), sample(WORDS))
    assert row.prompt.endswith(f'"""{WORDS}\n    """\n    numbers = list(numbers)\n')
    without = "def total(numbers):\n    numbers = list(numbers)\n"
    with pytest.raises(RejectedError, match="is empty"):  # it would stand behind a statement
        docstrings.with_sample(problem(prompt=without), sample(WORDS))


def test_only_a_docstring_whose_code_passes_is_trained_on(tmp_path, runner):
    texts = [WORDS, "Does something with all numbers.", "Adds the squares up, one by one."]
    rows = run(tmp_path, [problem()], [sample(text, index=i) for i, text in enumerate(texts)])
    verdicts = [
        records.Verdict(task_id=row.task_id, sample_index=i, verdict=verdict)
        for row, verdict in zip(rows[:2], ("passed", "failed"), strict=True)
        for i in range(2)
    ]
    records.write_jsonl(tmp_path / "verdicts.jsonl", verdicts)
    settings = {"problems": [str(tmp_path / "out/documented.jsonl")], "runner": runner}
    with pytest.raises(InputError, match=r"3 problems have sampled docstrings.*set verdicts"):
        filter.filter_problems(**settings, output=str(tmp_path / "unproven"))
    assert not (tmp_path / "unproven").exists()
    filter.filter_problems(
        **settings, output=str(tmp_path / "kept"), verdicts=[str(tmp_path / "verdicts.jsonl")]
    )
    left = list(records.read_jsonl(tmp_path / "kept/problems.jsonl", records.Problem))
    assert [row.task_id for row in left] == [rows[0].task_id]
    steps = json.loads((tmp_path / "kept/report.json").read_text())["steps"]
    assert {row["step"]: row["dropped"] for row in steps}["samples"] == 2


def test_a_function_with_two_proven_docstrings_is_one_problem(tmp_path, runner):
    rows = run(tmp_path, [problem()], [sample(WORDS), sample("Adds the squares up.", index=1)])
    verdicts = [records.Verdict(task_id=row.task_id, verdict="passed") for row in rows]
    records.write_jsonl(tmp_path / "verdicts.jsonl", verdicts)
    filter.filter_problems(
        problems=[str(tmp_path / "out/documented.jsonl")],
        runner=runner,
        output=str(tmp_path / "kept"),
        verdicts=[str(tmp_path / "verdicts.jsonl")],
    )
    left = list(records.read_jsonl(tmp_path / "kept/problems.jsonl", records.Problem))
    assert [row.task_id for row in left] == [rows[0].task_id]


@pytest.mark.parametrize("value", ["numbers" + ".x" * 1500, "-" * 20_000 + "1"])
def test_programs_that_are_too_deep_have_a_reason(tmp_path, capsys, value):
    rows = [problem(), problem("deep", body=f"    return {value}\n")]
    made = run(tmp_path, rows, [sample(WORDS), sample(WORDS, name="deep")])
    assert [row.extra["origin"] for row in made] == ["traces/p/total"]
    assert "| isn't Python | 1 | `traces/p/deep` |" in capsys.readouterr().out


def test_bad_input_is_one_line(tmp_path, capsys):
    with pytest.raises(InputError, match=r"1 of 1 completions are of other problems, 'traces/p/x'"):
        run(tmp_path, [problem()], [sample(WORDS, name="x")])
    with pytest.raises(InputError, match=r"1 task_ids occur twice, traces/p/total"):
        run(tmp_path, [problem(), problem()])
    with pytest.raises(InputError, match=r"no Python function with its body among 1 problems"):
        run(tmp_path, [problem(body="")])
    with pytest.raises(InputError, match="no completions; expected JSON Lines of completions"):
        run(tmp_path, [problem()], [])
    (tmp_path / "samples.jsonl").unlink()
    path = tmp_path / "undocumented.jsonl"
    before = path.read_bytes()
    words = [f"--problems=['{path}']", f"--output={tmp_path}"]
    assert cli.main(["curate", "docstrings", *words]) == 2
    assert "is an input, which would be replaced" in capsys.readouterr().err
    assert path.read_bytes() == before
