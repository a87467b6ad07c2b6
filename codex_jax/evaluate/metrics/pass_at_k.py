"""The unbiased estimator of pass@k (paper, section 2.1) and its bootstrap interval."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from codex_jax import InputError
from codex_jax.list_settings import check_distinct


@functools.lru_cache(maxsize=65536)
def pass_at_k(samples: int, correct: int, k: int) -> float | None:
    """Returns the chance that k samples, drawn without replacement, contain a correct one.

    Computes 1 - C(n-c, k) / C(n, k) in integers, which is exact for any n.

    Returns:
      The chance, or None if k exceeds the number of samples.
    """
    if not 0 <= correct <= samples or k < 1:
        raise ValueError(f"pass@{k} of {correct} correct among {samples}")
    if k > samples:
        return None
    ways = math.comb(samples, k)
    return (ways - math.comb(samples - correct, k)) / ways


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Mean over problems with a 95 % bootstrap interval, all between 0 and 1."""

    mean: float
    low: float
    high: float
    problems: int  # of pass@k those with at least k samples

    def __str__(self) -> str:
        """Formats it in percent."""
        return f"{self.mean:.1%} ({self.low:.1%}-{self.high:.1%})"


def check_ks(ks: Sequence[int]) -> None:
    """Refuses a list without a k, with one below 1, or with one twice.

    Raises:
      InputError: it is such.
    """
    if not ks or min(ks) < 1:
        raise InputError(f"ks={tuple(ks)}; expected positive numbers; set ks to (1, 10), say")
    check_distinct(ks=ks)


def estimate(
    counts: Mapping[str, tuple[int, int]], ks: Sequence[int], *, seed: int = 0, draws: int = 2000
) -> dict[int, Estimate | None]:
    """Estimates pass@k over problems.

    Problems with fewer than k samples are left out of that k; None if no problem is left.

    Args:
      counts: (samples, correct) by problem.
      ks: the k of pass@k.
      seed: seeds the bootstrap.
      draws: number of resamples.
    """
    estimates: dict[int, Estimate | None] = {}
    for k in ks:
        chances = (pass_at_k(n, c, k) for n, c in counts.values())
        values = np.array([chance for chance in chances if chance is not None])
        estimates[k] = estimate_mean(values, seed=seed, draws=draws) if values.size else None
    return estimates


def estimate_mean(values: np.ndarray, *, seed: int = 0, draws: int = 2000) -> Estimate:
    """Estimates the mean of the problems' values; resamples problems, not samples.

    A benchmark is a draw of problems.
    """
    mean = float(values.mean())
    if values.min() == values.max():  # as are the means of all resamples
        return Estimate(mean, mean, mean, len(values))
    low, high = percentile_interval(bootstrap_means(values, seed=seed, draws=draws))
    return Estimate(mean, low, high, len(values))


def percentile_interval(means: np.ndarray) -> tuple[float, float]:
    """Returns the central 95 % interval; np.quantile would import numpy.ma, which is slow."""
    low, high = np.interp([0.025, 0.975], np.linspace(0, 1, len(means)), np.sort(means))
    return float(low), float(high)


def bootstrap_means(values: np.ndarray, *, seed: int, draws: int) -> np.ndarray:
    """Returns means of `draws` resamples with replacement; (P,) -> (draws,)."""
    return _resamples(len(values), seed, draws) @ values / len(values)


@functools.lru_cache(maxsize=1)  # the next k mostly has the same problems
def _resamples(count: int, seed: int, draws: int) -> np.ndarray:
    """Counts how often each resample draws each of `count` values; (draws, count)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(float)
