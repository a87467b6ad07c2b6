"""Ranking of a task's samples by their evidence, and the choice of one."""

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_DIGITS = 3  # of log-probabilities, by which texts are distinct


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Evidence on one sample from its prompt, its runs and its model; never a verdict.

    Attributes:
      sample_index: index of the sample in its task.
      examples: share of the prompt's examples that it satisfies; 1 if there are none.
      crashed: whether it returned nothing on any input.
      behavior: number of its behavior: equal for samples with equal replies to all inputs.
      tests: numbers of the model's own tests that it passes.
      mean_logprob: in nats a token; None where unknown.
      sum_logprob: in nats; None where unknown.
      reviewer_logprob: log-probability of the prompt after the program; None where unknown.
    """

    sample_index: int
    examples: float
    crashed: bool
    behavior: int
    tests: tuple[int, ...] = ()
    mean_logprob: float | None = None
    sum_logprob: float | None = None
    reviewer_logprob: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns its fields, without those that are unknown."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if value not in (None, ())}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Evidence":
        """Reads the fields of `to_json`."""
        return cls(**{**fields, "tests": tuple(fields.get("tests", ()))})


class Score(NamedTuple):
    """Values that a sample is ranked by, the first that differs decides; the largest is the best.

    Attributes:
      examples: share of the prompt's examples that it satisfies.
      runs: 0 if it returned nothing on any input, else 1.
      tests: samples that pass the same of the model's own tests, times these tests (CodeT).
      mass: estimated probability of its behavior.
      logprob: mean log-probability, the reviewer's added; -inf where unknown.
    """

    examples: float
    runs: int
    tests: int
    mass: float
    logprob: float

    def to_json(self) -> dict[str, float]:
        """Returns its fields, without what is unknown."""
        return {n: value for n, value in self._asdict().items() if math.isfinite(value)}


def score_samples(rows: Sequence[Evidence]) -> list[Score]:
    """Scores the samples of a task, each among all of `rows`."""
    masses = behavior_masses(rows)
    agreeing = collections.Counter(row.tests for row in rows)
    return [
        Score(
            examples=row.examples,
            runs=int(not row.crashed),
            tests=agreeing[row.tests] * len(row.tests),
            mass=masses[row.behavior],
            logprob=_logprob(row),
        )
        for row in rows
    ]


def behavior_masses(rows: Sequence[Evidence]) -> dict[int, float]:
    """Returns the estimated probability of each behavior; they sum to 1.

    It is the sum of the probabilities of its distinct texts. What is missing to 1, in texts that
    weren't sampled, is divided by the numbers of samples: all of it, where there are no
    log-probabilities.
    """
    counts = collections.Counter(row.behavior for row in rows)
    logprobs = {(row.behavior, row.sum_logprob) for row in rows if row.sum_logprob is not None}
    # Equal texts differ in the last digits where they were sampled in other batches.
    texts = {(behavior, round(logprob, _DIGITS)): logprob for behavior, logprob in sorted(logprobs)}
    masses = dict.fromkeys(counts, 0.0)
    for (behavior, _), logprob in texts.items():
        masses[behavior] += math.exp(min(0.0, logprob))
    covered = sum(masses.values())
    scale, rest = 1 / max(1.0, covered), max(0.0, 1 - covered)
    return {b: scale * masses[b] + rest * count / len(rows) for b, count in counts.items()}


def _logprob(row: Evidence) -> float:
    values = [value for value in (row.mean_logprob, row.reviewer_logprob) if value is not None]
    return sum(values) if values else -math.inf


def choose(rows: Sequence[Evidence]) -> int:
    """Returns the position of the sample with the best score; the first of equals."""
    scores = score_samples(rows)
    return max(range(len(rows)), key=lambda i: (scores[i], -i))


def leading_behaviors(rows: Sequence[Evidence], count: int) -> set[int]:
    """Returns the behaviors of the best scores, at most `count`."""
    scores = score_samples(rows)
    order = sorted(range(len(rows)), key=lambda i: (scores[i], -i), reverse=True)
    distinct = dict.fromkeys(rows[i].behavior for i in order)
    return set(list(distinct)[:count])
