"""Benchmarks by their owners' rules: right programs pass, two wrong programs a problem fail."""

import json

import pytest

from codex_jax import records
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.languages import registry
from tests.evaluate import benchmark_rows

SLOW = ("cpp", "java", "csharp", "scala", "rust")
CASES = [
    pytest.param(name, language, marks=[pytest.mark.slow] if language in SLOW else [])
    for name, shapes in (("MBXP", benchmark_rows.MBXP), ("HumanEval-X", benchmark_rows.HUMANEVAL_X))
    for language in shapes
]


def verdicts(folder, rows: list[dict], samples: list[dict]) -> dict[str, list[records.Verdict]]:
    """Verdicts by task, in the order of the samples."""
    for name, lines in (("p", rows), ("c", samples)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text)
    evaluate(
        problems=str(folder / "p.jsonl"),
        completions=str(folder / "c.jsonl"),
        output=str(folder / "out"),
        sandbox="bubblewrap",
        ks=(1,),
    )
    found = list(records.read_jsonl(folder / "out" / "verdicts.jsonl", records.Verdict))
    by_task: dict[str, list[records.Verdict]] = {row.task_id: [] for row in found}
    for row in sorted(found, key=lambda row: row.sample_index):
        by_task[row.task_id].append(row)
    return by_task


@pytest.mark.parametrize(("name", "language"), CASES)
def test_right_programs_pass_and_wrong_ones_fail(name, language, tmp_path):
    is_mbxp = name == "MBXP"
    shape = (benchmark_rows.MBXP if is_mbxp else benchmark_rows.HUMANEVAL_X)[language]
    rows = benchmark_rows.rows(shape, language if is_mbxp else "")
    text = "\n".join(row["prompt"] + row["test"] for row in rows)
    if language != "python" and (reason := registry.absence(language, text)):
        pytest.skip(f"{language} is {reason}")
    samples = [
        {"task_id": row["task_id"], "completion": benchmark_rows.body(shape, function, variant)}
        for row, function in zip(rows, benchmark_rows.EXPRESSIONS, strict=True)
        for variant in range(3)
    ]
    by_task = verdicts(tmp_path, rows, samples)
    assert len(by_task) == 5
    for task_id, found in by_task.items():
        assert [row.verdict for row in found] == ["passed", "failed", "failed"], (task_id, found)
