"""Copies of each text of a mixture's members, so that the members' tokens are in its rates."""

from collections.abc import Mapping

import numpy as np


def count_copies(
    lengths: Mapping[str, np.ndarray], rates: Mapping[str, float], *, seed: int
) -> dict[str, np.ndarray]:
    """Returns int64 (texts,) for each member: how often each of its texts occurs.

    All tokens together are as many as the members of a rate above 0 have; a member's share of them
    is its rate by the sum of the rates of members that have tokens.

    Args:
      lengths: int64 (texts,) for each member, tokens of its texts.
      rates: of the members.
      seed: of the choice of texts that occur once more than others.
    """
    sizes = {name: int(array.sum()) for name, array in lengths.items()}
    total = sum(size for name, size in sizes.items() if rates[name])
    rate_sum = sum(rates[name] for name, size in sizes.items() if size)
    copies = {}
    for number, (name, array) in enumerate(lengths.items()):
        copies[name] = np.zeros(len(array), np.int64)
        if sizes[name] and rates[name]:
            budget = round(total * rates[name] / rate_sum)
            complete, rest = divmod(budget, sizes[name])
            copies[name] += complete
            rng = np.random.default_rng([seed, number])
            copies[name][_choose(array, rest, rng)] += 1
    return copies


def _choose(lengths: np.ndarray, budget: int, rng: np.random.Generator) -> list[int]:
    """Returns indices of texts, chosen at random, whose lengths sum up to nearly `budget`."""
    chosen, others = [], []
    for index in rng.permutation(len(lengths)).tolist():
        if lengths[index] <= budget:
            chosen.append(index)
            budget -= int(lengths[index])
        else:
            others.append(index)
    shortest = min(others, key=lambda index: lengths[index], default=None)
    if shortest is not None and lengths[shortest] - budget < budget:
        chosen.append(shortest)
    return chosen
