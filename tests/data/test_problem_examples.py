"""Problem files as training texts: what weighs, the split by package, what is left out."""

import json
from typing import Any

import pytest

from codex_jax import InputError
from codex_jax.data.examples.encode import encode_jointly
from codex_jax.data.examples.problem_examples import ProblemFiles, read_problem_examples

SECRET = "never in a text"


def problem(n: int, **fields: Any) -> dict[str, Any]:
    return {
        "task_id": f"t/{n}",
        "prompt": f'def f{n}(x):\n    """Adds {n} to x."""\n',
        "canonical_solution": f"    return x + {n}\n",
        "entry_point": f"f{n}",
        "test": f"def check(candidate):\n    assert {SECRET!r}\n",
        "shadow": f"def check(candidate):\n    assert {SECRET!r}\n",
        "package": f"package{n % 10}",
        **fields,
    }


@pytest.fixture
def read(tmp_path, tokenizer):
    """Rows, Task, settings -> the examples."""

    def read_rows(rows, task="codex_s", validation_share=0.0, sequence_length=128):
        path = tmp_path / "problems.jsonl"
        path.write_text("".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
        settings = {"validation_share": validation_share, "sequence_length": sequence_length}
        return read_problem_examples(task, ProblemFiles(paths=(str(path),), **settings), tokenizer)

    return read_rows


def lines(rows):
    return [json.dumps(row) + "\n" for row in rows]


def texts(examples, split="train"):
    return [tuple(span.text for span in e.spans) for e in examples.examples[split]]


def test_codex_s_weighs_the_tokens_that_reach_into_the_solution(read, tokenizer):
    (example,) = read(lines([problem(1)])).examples["train"]
    context, solution = (span.text for span in example.spans)
    ids, weights = encode_jointly(example.spans, tokenizer)
    assert tokenizer.decode(ids) == context + solution
    weighed = tokenizer.decode(ids[weights == 1])
    assert weighed.endswith(solution)
    assert set(weights) == {0.0, 1.0}
    first = int(weights.argmax())
    before = len(tokenizer.decode(ids[:first]))
    assert before <= len(context) < before + len(tokenizer.decode(ids[first : first + 1]))
    assert (weights[first:] == 1).all()


def test_a_token_across_the_border_weighs(read, tokenizer):
    """The newline at a prompt's end and the indentation behind it are one token."""
    (example,) = read(lines([problem(1)])).examples["train"]
    ids, weights = encode_jointly(example.spans, tokenizer)
    first = tokenizer.decode(ids[weights == 1][:1])
    assert first.startswith("\n ")
    assert len(first) > 1


def test_codex_d_weighs_the_docstring(read, tokenizer):
    (example,) = read(lines([problem(1)]), "codex_d").examples["train"]
    ids, weights = encode_jointly(example.spans, tokenizer)
    assert example.spans[0].text == 'def f1(x):\n    return x + 1\n    """'
    assert tokenizer.decode(ids[weights == 1]).endswith('Adds 1 to x.\n    """\n')


@pytest.mark.parametrize("task", ["codex_s", "codex_d"])
def test_tests_and_shadow_cases_are_in_no_text(read, task):
    examples = read(lines([problem(n) for n in range(20)]), task, validation_share=0.5)
    together = texts(examples) + texts(examples, "validation")
    assert len(together) == 20
    assert SECRET not in repr(together)
    assert "check(" not in repr(together)


def test_a_package_is_in_one_split_whatever_the_order_and_task(read):
    rows = [problem(n) for n in range(200)]
    packages = {row["task_id"]: row["package"] for row in rows}

    def split(rows, task):
        examples = read(lines(rows), task, validation_share=0.3).examples
        return {name: {packages[e.key] for e in rows} for name, rows in examples.items()}

    splits = split(rows, "codex_s")
    assert splits["train"]
    assert splits["validation"]
    assert not splits["train"] & splits["validation"]
    assert splits == split(rows[::-1], "codex_s") == split(rows, "codex_d")


def test_problems_without_package_are_split_by_their_id(read):
    rows = [problem(n, package=None) for n in range(100)]
    examples = read(lines(rows), validation_share=0.3).examples
    assert 10 < len(examples["validation"]) < 60


def test_no_share_holds_nothing_out(read):
    assert not read(lines([problem(n) for n in range(30)])).examples["validation"]


def test_long_undocumented_and_repeated_problems_are_dropped_and_counted(read):
    long = problem(1, canonical_solution="    return x\n" * 200)
    silent = problem(2, prompt="def f2(x):\n")
    rows = lines([problem(0), problem(0, task_id="again"), long, silent])
    dropped = read(rows, "codex_d").dropped
    assert [(row.task_id, row.reason) for row in dropped] == [
        ("again", "duplicate"),
        ("t/1", "longer than a row"),
        ("t/2", "no docstring"),
    ]
    assert [row.reason for row in read(rows).dropped] == ["duplicate", "longer than a row"]


def test_a_text_that_fills_a_row_exactly_stays(read, tokenizer):
    (example,) = read(lines([problem(1)])).examples["train"]
    size = len(encode_jointly(example.spans, tokenizer)[0]) + 1
    assert texts(read(lines([problem(1)]), sequence_length=size))
    assert not texts(read(lines([problem(1)]), sequence_length=size - 1))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", r"problems.jsonl:1: not JSON"),
        ("[1]\n", r"problems.jsonl:1: expected a JSON object"),
        ('{"task_id": "a"}\n', r"problems.jsonl:1: Problem lacks prompt"),
        (json.dumps(problem(1, canonical_solution=" ")), "t/1 has no canonical_solution"),
        (json.dumps(problem(1, canonical_solution=["x"])), "canonical_solution must be a string"),
        (json.dumps(problem(1, canonical_solution=None)), "t/1 has no canonical_solution"),
        (json.dumps(problem(1, canonical_solution="\ud800")), "t/1 holds a lone surrogate"),
        (json.dumps(problem(1, package=["a"])), r"t/1 has package \['a'\]; expected its name"),
        (json.dumps(problem(1, package={"a": 1})), "t/1 has package {'a': 1}; expected its name"),
        (json.dumps(problem(1, package=0.5)), r"t/1 has package 0\.5; expected its name"),
    ],
)
def test_a_bad_row_is_refused_in_a_line(read, row, message):
    with pytest.raises(InputError, match=message) as error:
        read([row])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "none.jsonl: no problems; expected JSON Lines of problems"),
        ("\n \n", "none.jsonl: no problems; expected JSON Lines of problems"),
        ("[]", "none.jsonl:1: expected a JSON object, found list"),
    ],
)
def test_a_file_without_problems_is_named(tokenizer, tmp_path, text, message):
    (tmp_path / "none.jsonl").write_text(text)
    files = ProblemFiles(
        paths=(str(tmp_path / "none.jsonl"),), validation_share=0.0, sequence_length=64
    )
    with pytest.raises(InputError, match=message):
        read_problem_examples("codex_s", files, tokenizer)


def test_a_missing_file_and_a_share_that_is_none_are_refused(tokenizer):
    files = {"paths": ("nowhere.jsonl",), "sequence_length": 64}
    with pytest.raises(InputError, match=r"nowhere.jsonl: no such file"):
        read_problem_examples("codex_s", ProblemFiles(**files, validation_share=0.1), tokenizer)
    with pytest.raises(InputError, match=r"validation_share is 1.0; expected 0 to below 1"):
        ProblemFiles(**files, validation_share=1.0)
