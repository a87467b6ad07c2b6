"""Advantages of samples over the others of their prompt (REINFORCE leave-one-out, RLOO).

A sample's advantage is its reward less the mean of the other samples' rewards (Kool et al. 2019;
Ahmadian et al. 2024). It is divided by no deviation and by no length.
"""

from collections.abc import Sequence

import numpy as np


def leave_one_out(rewards: Sequence[float | None]) -> np.ndarray:
    """Returns the advantages of a group's samples, float32; 0 for those without a reward.

    A sample without a reward bears on nobody's; a group with fewer than two rewards has none.
    """
    values = np.array([np.nan if reward is None else reward for reward in rewards], np.float64)
    has_reward = ~np.isnan(values)
    count = int(has_reward.sum())
    if count < 2 or is_equal(rewards):
        return np.zeros(len(values), np.float32)
    others = (values[has_reward].sum() - values) / (count - 1)
    return np.where(has_reward, values - others, 0).astype(np.float32)


def is_equal(rewards: Sequence[float | None]) -> bool:
    """Whether a group teaches nothing: all rewards that it has are equal."""
    return len({reward for reward in rewards if reward is not None}) < 2
