"""Scores of selection against the number of samples: how often the choice passes its tests."""

import collections
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from codex_jax import records
from codex_jax.evaluate.metrics.pass_at_k import estimate_mean
from codex_jax.evaluate.select.ranking import Evidence, Score, score_samples
from codex_jax.evaluate.verdicts import Cause

SIZES = (1, 5, 10, 25, 100)  # numbers of samples to choose from
_DRAWS = 10  # of as many samples of a problem
# Ways to choose: by all of a score, or by one field of it, ties at random.
METHODS: dict[str, Callable[[Score], Any]] = {
    "prompt": lambda score: score,
    "examples": lambda score: (score.examples, score.runs),
    "behavior": lambda score: score.mass,
    "random": lambda _: 0,
}


def selection_curves(
    chosen: Iterable[records.Completion], verdicts: Iterable[records.Verdict]
) -> dict[str, dict[str, dict[str, float]]]:
    """Returns, by method and number of samples, the share of problems whose choice passes.

    Each share has a 95 % bootstrap interval over problems. "oracle" chooses a right sample wherever
    there is one. Problems with fewer samples, or a sample that is left out of pass@k, don't count.

    Args:
      chosen: rows of selection.jsonl.
      verdicts: of their samples.
    """
    passed: dict[str, dict[int, bool]] = collections.defaultdict(dict)
    for verdict in verdicts:
        if verdict.cause != Cause.LEFT_OUT:
            passed[verdict.task_id][verdict.sample_index] = verdict.passed
    groups = []
    for row in chosen:
        rows = [Evidence.from_json(fields) for fields in row.extra["evidence"]]
        verdicts_of_task = passed.get(row.task_id, {})
        if all(r.sample_index in verdicts_of_task for r in rows):
            groups.append((rows, [verdicts_of_task[r.sample_index] for r in rows]))
    curves: dict[str, dict[str, dict[str, float]]] = {name: {} for name in (*METHODS, "oracle")}
    most = max((len(rows) for rows, _ in groups), default=0)
    for size in (size for size in SIZES if size <= most):
        shares = [_shares(*group, size) for group in groups if len(group[0]) >= size]
        for name, curve in curves.items():
            curve[str(size)] = vars(estimate_mean(np.array([row[name] for row in shares])))
    return curves


def _shares(rows: Sequence[Evidence], passed: Sequence[bool], size: int) -> dict[str, float]:
    """Returns how often each method's choice among `size` of a problem's samples passes."""
    rng = random.Random(size)
    shares = dict.fromkeys((*METHODS, "oracle"), 0.0)
    for _ in range(_DRAWS):
        drawn = sorted(rng.sample(range(len(rows)), size))
        scores = score_samples([rows[i] for i in drawn])
        right = [passed[i] for i in drawn]
        for name, order in METHODS.items():
            shares[name] += _pass_rate([order(score) for score in scores], right)
        shares["oracle"] += any(right)  # of the same draws: no choice is better
    shares = {name: total / _DRAWS for name, total in shares.items()}
    if size == 1:  # there is no choice
        shares = dict.fromkeys(shares, sum(passed) / len(passed))
    return shares


def _pass_rate(keys: Sequence[Any], passed: Sequence[bool]) -> float:
    """Returns the share of the samples with the largest key that pass."""
    best = max(keys)
    ties = [is_right for key, is_right in zip(keys, passed, strict=True) if key == best]
    return sum(ties) / len(ties)
