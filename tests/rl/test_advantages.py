"""Leave-one-out advantages: a known answer, sums of 0, samples without a reward."""

import numpy as np
import pytest

from codex_jax.rl.advantages import is_equal, leave_one_out


def test_a_sample_is_compared_with_the_others():
    np.testing.assert_allclose(leave_one_out([1, 0, 0]), [1, -0.5, -0.5])
    np.testing.assert_allclose(leave_one_out([1, 1, 0, 0.5]), [0.5, 0.5, -5 / 6, -1 / 6], rtol=1e-6)


@pytest.mark.parametrize("size", [2, 3, 16])
def test_advantages_of_a_group_sum_to_0_and_scale_with_the_rewards(size):
    rewards = np.random.default_rng(size).random(size)
    advantages = leave_one_out(list(rewards))
    assert advantages.sum() == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(leave_one_out(list(3 * rewards + 7)), 3 * advantages, rtol=1e-4)


def test_a_sample_without_a_reward_bears_on_nobody():
    with_it = leave_one_out([1, None, 0, 0])
    assert with_it[1] == 0
    np.testing.assert_allclose(np.delete(with_it, 1), leave_one_out([1, 0, 0]))


@pytest.mark.parametrize("rewards", [[1, 1, 1], [0, 0], [None, None], [1, None], [0.1] * 3, []])
def test_groups_that_teach_nothing_have_advantages_of_exactly_0(rewards):
    assert is_equal(rewards)
    np.testing.assert_array_equal(leave_one_out(rewards), np.zeros(len(rewards)))
