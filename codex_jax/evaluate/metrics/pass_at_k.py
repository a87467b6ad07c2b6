"""The unbiased estimator of pass@k (paper, section 2.1) and how sure one may be of it."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np


@functools.lru_cache(maxsize=65536)
def pass_at_k(samples: int, correct: int, k: int) -> float | None:
    """The chance that k of the samples, drawn without replacement, hold a correct one.

    1 - C(n-c, k) / C(n, k), from whole numbers, so exact to the last bit for any n.

    Returns:
      None where k exceeds the number of samples: nothing can be said.
    """
    if not 0 <= correct <= samples or k < 1:
        raise ValueError(f"pass@{k} of {correct} correct among {samples}")
    if k > samples:
        return None
    ways = math.comb(samples, k)
    return (ways - math.comb(samples - correct, k)) / ways


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Mean pass@k over problems with a 95 % bootstrap interval, all between 0 and 1."""

    mean: float
    low: float
    high: float
    problems: int  # those with at least k samples


def estimate(
    counts: Mapping[str, tuple[int, int]], ks: Sequence[int], *, seed: int = 0, draws: int = 2000
) -> dict[int, Estimate | None]:
    """pass@k over problems, given (samples, correct) of each.

    Problems with fewer than k samples are left out of that k; where none is left, None.
    """
    estimates: dict[int, Estimate | None] = {}
    for k in ks:
        found = (pass_at_k(n, c, k) for n, c in counts.values())
        values = np.array([value for value in found if value is not None])
        estimates[k] = _with_interval(values, seed, draws) if values.size else None
    return estimates


def _with_interval(values: np.ndarray, seed: int, draws: int) -> Estimate:
    """Resamples problems: they, not samples, are what a benchmark draws from the world."""
    low, high = middle(resampled_means(values, seed=seed, draws=draws))
    return Estimate(float(values.mean()), low, high, len(values))


def middle(means: np.ndarray) -> tuple[float, float]:
    """Between which 95 % of them lie: np.quantile without numpy.ma, whose import is slow."""
    low, high = np.interp([0.025, 0.975], np.linspace(0, 1, len(means)), np.sort(means))
    return float(low), float(high)


def resampled_means(values: np.ndarray, *, seed: int, draws: int) -> np.ndarray:
    """Means of `draws` resamples with replacement; (P,) -> (draws,)."""
    return _resamples(len(values), seed, draws) @ values / len(values)


@functools.lru_cache(maxsize=1)  # as the next k mostly has the same problems
def _resamples(count: int, seed: int, draws: int) -> np.ndarray:
    """How often each resample draws each of `count` values, (draws, count)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(float)
