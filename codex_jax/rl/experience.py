"""A batch of experience: prompts sampled, programs judged and rewarded, groups refilled."""

import ast
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from codex_jax import InputError
from codex_jax.records import Problem
from codex_jax.rl import memorized
from codex_jax.rl.advantages import is_equal, leave_one_out
from codex_jax.rl.judging import Judge, Judgment
from codex_jax.rl.prompts import Prompt, Prompts
from codex_jax.rl.rewards import Reward, sum_rewards
from codex_jax.rl.rows import Row, is_too_long, make_rows
from codex_jax.rl.sampler import Group, Sampler
from codex_jax.train.policy_loss import PolicyBatch


class ScoredGroup(NamedTuple):
    """A prompt's samples with what was said of them, in the same order."""

    group: Group
    programs: list[str]
    judgments: list[Judgment]
    rewards: list[float | None]


class Experience(NamedTuple):
    """Rows to train on, numbers about them, and the groups of the batch's own prompts."""

    rows: PolicyBatch
    metrics: dict[str, float]
    groups: list[ScoredGroup]


class Collector:
    """Collects the experience of batch n by the sampler's present weights."""

    def __init__(
        self,
        prompts: Prompts,
        sampler: Sampler,
        judge: Judge,
        rewards: Mapping[str, Reward],
        *,
        prompts_per_batch: int,
        refills: int,
    ):
        """Takes what a run has.

        Args:
          prompts: All prompts.
          sampler: The policy.
          judge: The sandbox.
          rewards: By name.
          prompts_per_batch: Groups that a batch has.
          refills: Most times that groups of equal reward are replaced by other prompts'.
        """
        self._prompts, self._sampler, self._judge = prompts, sampler, judge
        self._rewards, self._size, self._refills = rewards, prompts_per_batch, refills
        self._outputs = {
            task_id: memorized.expected_outputs(problem)
            for task_id, problem in prompts.problems.items()
        }

    def collect(self, batch: int) -> Experience:
        """Samples, judges and rewards the prompts of a batch, and others for equal groups.

        Raises:
          InputError: sandboxes no longer start, no sample has a verdict, or a reward is faulty.
        """
        order, seed = self._prompts.order(batch), self._prompts.sampling_seed(batch)
        seconds = {"seconds_sampling": 0.0, "seconds_judging": 0.0}
        groups: list[ScoredGroup] = []
        for _ in range(1 + self._refills):
            missing = self._size - sum(not is_equal(group.rewards) for group in groups)
            chosen = order[len(groups) : len(groups) + missing]
            if not chosen:
                break
            groups += self._score(chosen, seed, seconds)
            _check_verdicts(groups)
        ranked = sorted(groups, key=lambda group: is_equal(group.rewards))  # stable
        rows = make_rows(
            list(_to_rows(ranked[: self._size])),
            self._prompts.batch_size,
            self._prompts.sequence_length,
        )
        return Experience(rows, seconds | self._measure(groups), groups[: self._size])

    def _score(
        self, prompts: Sequence[Prompt], seed: int, seconds: dict[str, float]
    ) -> list[ScoredGroup]:
        start = time.perf_counter()
        groups = self._sampler.sample(prompts, seed)
        sampled = time.perf_counter()
        programs = [
            (group.prompt.task_id, group.prompt.text + text)
            for group in groups
            for text in group.texts
        ]
        judgments = self._judge.judge(programs)
        seconds["seconds_sampling"] += sampled - start
        seconds["seconds_judging"] += time.perf_counter() - sampled
        rewards = self._reward(groups, [program for _, program in programs], judgments)
        size = len(judgments) // len(groups)
        parts = [slice(start, start + size) for start in range(0, len(judgments), size)]
        return [
            ScoredGroup(group, [text for _, text in programs[part]], judgments[part], rewards[part])
            for group, part in zip(groups, parts, strict=True)
        ]

    def _reward(
        self, groups: Sequence[Group], programs: Sequence[str], judgments: Sequence[Judgment]
    ) -> list[float | None]:
        """Rewards of all samples, in order; None for those without a verdict."""
        columns = self._columns(groups, programs, judgments)
        judged = [n for n, judgment in enumerate(judgments) if judgment.has_verdict]
        chosen = {name: [values[n] for n in judged] for name, values in columns.items()}
        texts = chosen.pop("prompt"), chosen.pop("completion")
        rewards: list[float | None] = [None] * len(judgments)
        if not judged:
            return rewards
        for n, reward in zip(judged, sum_rewards(self._rewards, *texts, chosen), strict=True):
            rewards[n] = reward
        return rewards

    def _columns(
        self, groups: Sequence[Group], programs: Sequence[str], judgments: Sequence[Judgment]
    ) -> dict[str, list[Any]]:
        problems: list[Problem] = [
            self._prompts.problems[group.prompt.task_id] for group in groups for _ in group.texts
        ]
        samples = [sample for group in groups for sample in group.samples]
        return {
            "prompt": [group.prompt.text for group in groups for _ in group.texts],
            "completion": [text for group in groups for text in group.texts],
            "task_id": [problem.task_id for problem in problems],
            "entry_point": [problem.entry_point for problem in problems],
            "test": [problem.test for problem in problems],
            "program": list(programs),
            "verdict": [judgment.verdict for judgment in judgments],
            "cause": [str(judgment.cause) for judgment in judgments],
            "case_share": [judgment.case_share for judgment in judgments],
            "tokens": [len(sample.tokens) for sample in samples],
            "finish_reason": [sample.finish_reason for sample in samples],
        }

    def _measure(self, groups: Sequence[ScoredGroup]) -> dict[str, float]:
        """Numbers about a batch: its own prompts', and how many groups taught nothing."""
        own = groups[: self._size]
        judgments = [j for group in own for j in group.judgments if j.has_verdict]
        rewards = [r for group in own for r in group.rewards if r is not None]
        samples = [sample for group in own for sample in group.group.samples]
        every = [sample for group in groups for sample in group.group.samples]
        passes = [judgment.passes for judgment in judgments]
        shadow = [judgment.passes_shadow for judgment in judgments]
        suspects = [
            memorized.holds_outputs(program, self._outputs[group.group.prompt.task_id])
            for group in own
            for program in group.programs
        ]
        return {
            "reward": _mean(rewards),
            "passes": _mean(passes),
            "shadow_reward": _mean(shadow),
            "shadow_gap": _mean(passes) - _mean(shadow),
            "equal_groups": _mean([is_equal(group.rewards) for group in groups]),
            "refilled_groups": float(len(groups) - len(own)),
            "without_reward": float(len(samples) - len(rewards)),
            "distinct_programs": _mean([count_distinct(g.programs) / len(g.programs) for g in own]),
            "sampled_tokens": float(sum(len(sample.tokens) for sample in every)),
            "length": _mean([len(sample.tokens) for sample in samples]),
            "masked": _mean([is_too_long(sample) for sample in samples]),
            "holds_outputs": float(sum(suspects)),
        }


def _check_verdicts(groups: Sequence[ScoredGroup]) -> None:
    """Checks that some program of a batch was judged.

    Raises:
      InputError: none was.
    """
    judgments = [judgment for group in groups for judgment in group.judgments]
    if not any(judgment.has_verdict for judgment in judgments):
        raise InputError(
            f"none of {len(judgments)} programs has a verdict (the first: {judgments[0].cause}); "
            "expected a working sandbox and tests that the references pass; run again: the run "
            "continues from its newest checkpoint"
        )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _to_rows(groups: Sequence[ScoredGroup]) -> Iterator[Row]:
    for group in groups:
        advantages = leave_one_out(group.rewards)
        for sample, advantage in zip(group.group.samples, advantages, strict=True):
            yield Row(group.group.prompt.tokens, sample, float(advantage))


def count_distinct(programs: Sequence[str]) -> int:
    """Counts programs that differ in more than their layout and comments."""
    return len({syntax_of(program) for program in programs})


def syntax_of(program: str) -> str:
    """Returns a program's syntax tree as text, or the program where it doesn't parse."""
    try:
        return ast.dump(ast.parse(program))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return program
