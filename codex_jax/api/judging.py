"""Verdicts on completions, and pass@k."""

import contextlib
import io
import json
import pathlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

from codex_jax import InputError, ranges
from codex_jax.api import arguments
from codex_jax.records import (
    Completion,
    Problem,
    Verdict,
    parse_record,
    read_jsonl,
    to_line,
    write_jsonl,
)

if TYPE_CHECKING:
    from codex_jax.evaluate.metrics.pass_at_k import Estimate


def judge(
    problem: Problem | Mapping[str, Any], completions: Iterable[str], **settings: Any
) -> list[Verdict]:
    """Runs completions of a problem in the sandbox; returns their verdicts in order.

    Args:
      problem: A Problem, or its fields: task_id, prompt, entry_point, test.
      completions: The texts that follow the prompt.
      settings: Further settings of `codex-jax evaluate`: timeout_s, memory_mb, workers, ...

    Raises:
      InputError: a problem that can't be judged, or no sandbox works here.

    Example:
      >>> problem = {
      ...     "task_id": "double",
      ...     "prompt": "def double(x):",
      ...     "entry_point": "double",
      ...     "test": "def check(candidate): assert candidate(2) == 4",
      ... }
      >>> verdicts = cj.judge(problem, [" return 2 * x", " return x"])
      >>> [verdict.verdict for verdict in verdicts]
      ['passed', 'failed']
    """
    from codex_jax.evaluate.evaluate import evaluate

    own = ("problems", "completions", "output")
    settings = arguments.fit_settings(evaluate, settings, taken=own)
    record = _to_problem(problem)
    texts = arguments.list_items("completions", completions, str, "texts")
    samples = [
        Completion(task_id=record.task_id, completion=text, sample_index=index)
        for index, text in enumerate(texts)
    ]
    if not samples:
        return []
    with tempfile.TemporaryDirectory(prefix="codex-jax-judge-") as folder:
        path = pathlib.Path(folder)
        write_jsonl(path / "problems.jsonl", [record])
        write_jsonl(path / "completions.jsonl", samples)
        with contextlib.redirect_stdout(io.StringIO()):  # the table of pass@k
            evaluate(
                problems=str(path / "problems.jsonl"),
                completions=str(path / "completions.jsonl"),
                output=str(path / "evaluation"),
                **settings,
            )
        verdicts = list(read_jsonl(path / "evaluation" / "verdicts.jsonl", Verdict))
    return sorted(verdicts, key=lambda verdict: verdict.sample_index)


def _to_problem(problem: Problem | Mapping[str, Any]) -> Problem:
    """The record of its fields, checked as a file's are; unknown ones are `extra`."""
    if not isinstance(problem, Problem | Mapping):
        raise InputError(f"problem is {problem!r:.60}; set it to a Problem or its fields")
    try:
        line = to_line(problem) if isinstance(problem, Problem) else json.dumps(dict(problem))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"problem: {error}; set its fields to JSON's values") from None
    return parse_record(line, Problem, where="problem")


def pass_at_k(
    verdicts: Iterable[Verdict], ks: Sequence[int] = (1, 10, 100)
) -> "dict[int, Estimate | None]":
    """Estimates pass@k without bias (Chen et al. 2021, section 2.1) from verdicts.

    Args:
      verdicts: Verdicts of any number of problems, as `judge` or verdicts.jsonl has them.
      ks: The k of pass@k.

    Returns:
      k → mean over problems with a 95 % interval; None if no problem has k samples.

    Raises:
      InputError: no verdicts, or a k that is no whole number above 0.

    Example:
      >>> estimates = cj.pass_at_k(verdicts, ks=(1, 10))
      >>> estimates[1].mean, estimates[10]
      (0.5, None)
    """
    from codex_jax.evaluate.metrics.pass_at_k import estimate
    from codex_jax.evaluate.metrics.summary import count_passes

    rows = arguments.list_items("verdicts", verdicts, Verdict, "Verdicts")
    numbers = arguments.list_items("ks", ks, Integral, "whole numbers")
    ranges.check("pass_at_k", {"ks": min(numbers, default=1)}, {"ks": ranges.integer(1)})
    return estimate(count_passes(rows), [int(k) for k in numbers])
