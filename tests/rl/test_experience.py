"""Batches of experience from a known sampler and judge: refills, numbers, missing verdicts."""

import types

import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.evaluate.verdicts import Cause
from codex_jax.rl.experience import Collector, count_distinct
from codex_jax.rl.judging import Judgment
from codex_jax.rl.prompts import Prompt
from codex_jax.rl.rewards import find_reward
from codex_jax.rl.sampler import Group
from codex_jax.sample.engine.requests import Sample
from tests.rl.conftest import make_problem

# By prompt: the texts of its samples. "yes" passes, "hack" passes what is rewarded alone.
TEXTS = {
    "even": ["yes", "no", "no", "yes"],
    "never": ["no", "no", "no", "no"],
    "always": ["yes", "yes", "yes", "yes"],
    "hacked": ["hack", "hack", "no", "no"],
    "lost": ["lost", "yes", "no", "lost"],
}
CAUSES = {
    "yes": (Cause.PASSED, Cause.PASSED),
    "hack": (Cause.PASSED, Cause.WRONG_ANSWER),
    "no": (Cause.WRONG_ANSWER, Cause.WRONG_ANSWER),
    "lost": (Cause.INFRA_ERROR, Cause.PASSED),
}


class KnownSampler:
    def sample(self, prompts, seed):
        assert seed == 11
        return [
            Group(prompt, [to_sample(n, text) for n, text in enumerate(texts)], texts)
            for prompt in prompts
            for texts in [TEXTS[prompt.task_id]]
        ]


def to_sample(index, text):
    size = len(text)
    logprobs = np.zeros(size, np.float32)
    return Sample("t", index, np.full(size, 3, np.int32), logprobs, "stop")


class KnownJudge:
    def judge(self, programs):
        return [Judgment(*CAUSES[text.split("| ")[1]]) for _, text in programs]


def collect(order, *, size=2, refills=0, rewards=("passes",)):
    prompts = types.SimpleNamespace(
        order=lambda _: [Prompt(name, "x | ", [1, 2]) for name in order],
        sampling_seed=lambda _: 11,
        problems={name: make_problem(0, task_id=name) for name in order},
        batch_size=4 * size,
        sequence_length=16,
    )
    named = {name: find_reward(name) for name in rewards}
    settings = {"prompts_per_batch": size, "refills": refills}
    return Collector(prompts, KnownSampler(), KnownJudge(), named, **settings).collect(0)


def advantages(experience):
    return experience.rows.advantages.max(1) + experience.rows.advantages.min(1)


def test_a_known_batch():
    experience = collect(["even", "never"])
    expected = [2 / 3, -2 / 3, -2 / 3, 2 / 3, 0, 0, 0, 0]
    np.testing.assert_allclose(advantages(experience), expected, rtol=1e-6)
    metrics = experience.metrics
    assert metrics["reward"] == metrics["passes"] == metrics["shadow_reward"] == 0.25
    assert (metrics["shadow_gap"], metrics["equal_groups"]) == (0, 0.5)
    assert metrics["distinct_programs"] == (2 / 4 + 1 / 4) / 2
    assert metrics["length"] == pytest.approx((3 + 2 + 2 + 3 + 4 * 2) / 8)
    assert metrics["sampled_tokens"] == 3 + 2 + 2 + 3 + 4 * 2
    assert experience.rows.is_sampled.sum() == 18


def test_equal_groups_are_replaced_up_to_a_bound_and_counted():
    order = ["never", "always", "never", "even", "hacked"]
    bounds = [collect(order, refills=n).metrics["refilled_groups"] for n in range(4)]
    assert bounds == [0, 2, 3, 3]
    refilled = collect(order, refills=3)
    assert refilled.metrics["equal_groups"] == 3 / 5
    assert np.count_nonzero(advantages(refilled)) == 8  # two groups that teach something
    assert refilled.metrics["reward"] == 0.5  # of the batch's own prompts: never, always


def test_a_hack_shows_as_a_gap():
    metrics = collect(["even", "hacked"]).metrics
    assert (metrics["passes"], metrics["shadow_reward"], metrics["shadow_gap"]) == (0.5, 0.25, 0.25)


def test_a_sample_without_a_verdict_has_no_reward():
    experience = collect(["lost", "even"])
    np.testing.assert_allclose(advantages(experience)[:4], [0, 1, -1, 0])
    assert experience.metrics["without_reward"] == 2
    assert experience.metrics["reward"] == 3 / 6


def test_a_batch_without_any_verdict_ends_the_run(monkeypatch):
    monkeypatch.setitem(CAUSES, "no", CAUSES["lost"])
    with pytest.raises(InputError, match=r"none of 4 programs has a verdict .the first: infra_err"):
        collect(["never"], size=1)


def test_a_refilled_prompt_without_any_verdict_does_not_end_the_run(monkeypatch):
    """A single prompt's test may break the judge; the batch has other verdicts."""
    monkeypatch.setitem(TEXTS, "broken", ["lost"] * 4)
    experience = collect(["even", "never", "broken", "hacked"], refills=2)
    assert experience.metrics["refilled_groups"] == 2
    assert np.count_nonzero(advantages(experience)) == 8  # even, hacked


def test_columns_reach_a_reward_with_the_judged_samples_alone(monkeypatch):
    calls = []

    def reward(prompts, completions, **columns):
        calls.append((completions, columns))
        return [0.0] * len(prompts)

    monkeypatch.setitem(collect.__globals__, "find_reward", lambda _: reward)
    collect(["lost", "even"], rewards=("own",))
    completions, columns = calls[0]
    assert completions == ["yes", "no", "yes", "no", "no", "yes"]
    assert columns["verdict"] == ["passed", "failed", "passed", "failed", "failed", "passed"]
    assert columns["task_id"] == ["lost"] * 2 + ["even"] * 4
    assert columns["tokens"] == [3, 2, 3, 2, 2, 3]
    assert columns["program"][0] == "x | yes"


def test_programs_differ_in_more_than_layout():
    programs = ["x = 1", "x  =  1  # one", "x = 2", "x = ", "x = ", "x ="]
    assert count_distinct(programs) == 4
