"""Selection of one sample of many (paper, section 3.3), and the paired comparison of two runs.

A selector sees samples, never verdicts; `selection` reports how often its choice passes. The oracle
is the upper bound: it selects a correct sample wherever there is one, which is pass@n.
"""

import collections
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from codex_jax import InputError, records
from codex_jax.evaluate.metrics.pass_at_k import bootstrap_means, pass_at_k, percentile_interval
from codex_jax.evaluate.verdicts import Cause

Selector = Callable[[Sequence[records.Completion]], Sequence[float]]


def mean_logprob(samples: Sequence[records.Completion]) -> list[float]:
    """Scores by the mean over tokens, the paper's choice; -inf where it is unknown."""
    return [-math.inf if s.mean_logprob is None else s.mean_logprob for s in samples]


def sum_logprob(samples: Sequence[records.Completion]) -> list[float]:
    """Scores by the log-probability of the full sample, which favors short samples."""
    return [-math.inf if s.sum_logprob is None else s.sum_logprob for s in samples]


def mbr_exec_scores(outputs: Sequence[Sequence[Hashable]]) -> list[float]:
    """Counts the samples with equal outputs on all inputs (MBR-exec, Shi et al., 2022; 0/1 loss).

    Args:
      outputs: for each sample, its outputs for the same inputs.
    """
    votes = collections.Counter(tuple(row) for row in outputs)
    return [float(votes[tuple(row)]) for row in outputs]


def selected_pass_rate(scores: Sequence[float], passed: Sequence[bool]) -> float:
    """Returns the chance that the best-scored sample passes, averaged over ties."""
    best = max(scores)
    ties = [passed[i] for i, score in enumerate(scores) if score == best]
    return sum(ties) / len(ties)


def selection(
    samples: Sequence[records.Completion],
    verdicts: Sequence[records.Verdict],
    votes: Mapping[tuple[str, int], float] | None = None,
) -> dict[str, float]:
    """Returns, for each selector, the share of problems whose selected sample passes.

    Rankings by log-probability are left out where samples carry none.

    Args:
      samples: all samples.
      verdicts: their verdicts, in the same order.
      votes: counts of `mbr_exec.vote_counts`, if they are requested.
    """
    groups: dict[str, list[tuple[records.Completion, bool]]] = collections.defaultdict(list)
    for sample, verdict in zip(samples, verdicts, strict=True):
        if verdict.cause == Cause.LEFT_OUT:
            continue
        groups[sample.task_id].append((sample, verdict.passed))
    selectors: dict[str, Selector] = {"random": lambda group: [0.0] * len(group)}
    if any(sample.mean_logprob is not None for sample in samples):
        selectors["mean_logprob"] = mean_logprob
    if any(sample.sum_logprob is not None for sample in samples):
        selectors["sum_logprob"] = sum_logprob
    if votes is not None:
        selectors["mbr_exec"] = lambda group: [
            votes.get((sample.task_id, sample.sample_index), 0.0) for sample in group
        ]
    shares: dict[str, list[float]] = collections.defaultdict(list)
    for group in groups.values():
        members, passed = zip(*group, strict=True)
        for name, selector in selectors.items():
            shares[name].append(selected_pass_rate(selector(members), passed))
        shares["oracle"].append(float(any(passed)))
    return {name: float(np.mean(values)) for name, values in shares.items()}


def paired_bootstrap(
    first: Mapping[str, tuple[int, int]],
    second: Mapping[str, tuple[int, int]],
    k: int = 1,
    *,
    seed: int = 0,
    draws: int = 10_000,
) -> dict[str, Any]:
    """Returns the difference second - first in pass@k with a paired 95 % bootstrap interval.

    Pairing removes the differences in difficulty among problems, the largest part of the noise.

    Args:
      first: (samples, correct) by problem; the problems of both runs are compared.
      second: likewise.
      k: the k of pass@k.
      seed: seeds the resampling.
      draws: number of resamples.

    Raises:
      InputError: no problem of both runs has k samples in each.
    """
    differences = []
    for task_id in first.keys() & second.keys():
        a, b = (pass_at_k(*counts[task_id], k) for counts in (first, second))
        if a is not None and b is not None:
            differences.append(b - a)
    if not differences:
        raise InputError(f"no problem with {k} samples in both runs; expected the same problems")
    values = np.sort(differences)
    low, high = percentile_interval(bootstrap_means(values, seed=seed, draws=draws))
    return {
        "difference": float(values.mean()),
        "low": low,
        "high": high,
        "better": int((values > 0).sum()),
        "worse": int((values < 0).sum()),
        "problems": len(values),
    }
