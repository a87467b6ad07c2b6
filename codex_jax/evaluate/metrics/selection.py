"""Handing over one sample of many (paper, section 3.3), and comparing two runs fairly.

A selector sees samples, never verdicts; `selection` then says how often what it hands over passes.
The oracle is the bound: it hands over a right sample wherever there is one, which is pass@n.
"""

import collections
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from codex_jax import InputError, records
from codex_jax.evaluate.metrics.pass_at_k import middle, pass_at_k, resampled_means

Selector = Callable[[Sequence[records.Completion]], Sequence[float]]


def mean_logprob(samples: Sequence[records.Completion]) -> list[float]:
    """The paper's choice: the mean over tokens, -inf where it isn't known."""
    return [-math.inf if s.mean_logprob is None else s.mean_logprob for s in samples]


def sum_logprob(samples: Sequence[records.Completion]) -> list[float]:
    """The log-probability of the whole sample, which favours the short."""
    return [-math.inf if s.sum_logprob is None else s.sum_logprob for s in samples]


def agreement(outputs: Sequence[Sequence[Hashable]]) -> list[float]:
    """MBR-exec (Shi et al., 2022): with how many samples each agrees on all inputs, 0/1 loss.

    Args:
      outputs: what each sample returned for each of the same inputs.
    """
    votes = collections.Counter(tuple(row) for row in outputs)
    return [float(votes[tuple(row)]) for row in outputs]


def dual_agreement(passes: np.ndarray) -> list[float]:
    """CodeT (Chen et al., 2022): samples that pass the same self-written tests form a set,
    whose score is the number of its samples times the number of those tests.

    Args:
      passes: bool (S, T), whether sample s passes self-written test t.
    """
    rows = [tuple(np.flatnonzero(row)) for row in passes]
    sizes = collections.Counter(rows)
    return [float(sizes[row] * len(row)) for row in rows]


def chosen_passes(scores: Sequence[float], passed: Sequence[bool]) -> float:
    """The chance that the best-scored sample passes; equals share it."""
    best = max(scores)
    among = [passed[i] for i, score in enumerate(scores) if score == best]
    return sum(among) / len(among)


def selection(
    samples: Sequence[records.Completion],
    verdicts: Sequence[records.Verdict],
    votes: Mapping[tuple[str, int], float] | None = None,
) -> dict[str, float]:
    """For each way of choosing one sample a problem, the share of problems it gets right.

    Rankings by log-probability are left out where samples carry none.

    Args:
      votes: (task_id, sample_index) -> with how many samples it agrees, where that was asked for.
    """
    groups: dict[str, list[tuple[records.Completion, bool]]] = collections.defaultdict(list)
    for sample, verdict in zip(samples, verdicts, strict=True):
        groups[sample.task_id].append((sample, verdict.passed))
    selectors: dict[str, Selector] = {"random": lambda group: [0.0] * len(group)}
    for name, ranking in (("mean_logprob", mean_logprob), ("sum_logprob", sum_logprob)):
        if any(getattr(sample, name) is not None for sample in samples):
            selectors[name] = ranking
    if votes is not None:
        selectors["agreement"] = lambda group: [
            votes.get((sample.task_id, sample.sample_index), 0.0) for sample in group
        ]
    shares: dict[str, list[float]] = collections.defaultdict(list)
    for group in groups.values():
        drawn, passed = zip(*group, strict=True)
        for name, selector in selectors.items():
            shares[name].append(chosen_passes(selector(drawn), passed))
        shares["oracle"].append(float(any(passed)))
    return {name: float(np.mean(values)) for name, values in shares.items()}


def compare(
    first: Mapping[str, tuple[int, int]],
    second: Mapping[str, tuple[int, int]],
    k: int = 1,
    *,
    seed: int = 0,
    draws: int = 10_000,
) -> dict[str, Any]:
    """Second minus first in pass@k, problem by problem, with a paired 95 % bootstrap interval.

    Pairing takes out that problems differ in difficulty, by far the largest part of the noise.

    Args:
      first, second: (samples, correct) of each problem; those of both runs are compared.

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
    low, high = middle(resampled_means(values, seed=seed, draws=draws))
    return {
        "difference": float(values.mean()),
        "low": low,
        "high": high,
        "better": int((values > 0).sum()),
        "worse": int((values < 0).sum()),
        "problems": len(values),
    }
