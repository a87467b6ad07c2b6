"""The samples of a round that are trained on: right, different, and few of what is easy."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from codex_jax.evaluate.verdicts import Cause
from codex_jax.records import Completion, Problem, Verdict
from codex_jax.rl.experience import syntax_of

_NO_VERDICT = (Cause.INFRA_ERROR, Cause.LEFT_OUT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keep:
    """Rules by which samples are kept.

    Args:
      samples_per_problem: Most programs of a problem, different ones.
      easy_rate: Share of samples that pass, above which a problem weighs less.
      easy_weight: Weight of such a problem's programs in the loss.
      unsolved_factor: Factor of a program's weight for each round before its own, in which rounds
        that accumulate sampled the problem too, and solved it in none.
    """

    samples_per_problem: int = 4
    easy_rate: float = 0.9
    easy_weight: float = 0.2
    unsolved_factor: float = 1.0


def keep_samples(
    problems: Mapping[str, Problem],
    samples: Sequence[Completion],
    verdicts: Sequence[Verdict],
    rules: Keep,
    *,
    rounds_before: int = 0,
) -> list[Completion]:
    """Returns the samples to train on, in their order, with `weight` among their fields.

    They pass, differ as syntax trees, and ended by themselves; the first of equal ones stays.
    `rounds_before` is the number of rounds that didn't solve these problems.
    """
    by_sample = {(v.task_id, v.sample_index): v for v in verdicts}
    groups: dict[str, list[tuple[Completion, Verdict]]] = collections.defaultdict(list)
    for sample in sorted(samples, key=lambda each: (each.task_id, each.sample_index)):
        verdict = by_sample[sample.task_id, sample.sample_index]
        if verdict.cause not in _NO_VERDICT:
            groups[sample.task_id].append((sample, verdict))
    examples: list[Completion] = []
    for task_id, group in groups.items():
        rate = sum(verdict.passed for _, verdict in group) / len(group)
        weight = rules.easy_weight if rate > rules.easy_rate else 1.0
        weight *= rules.unsolved_factor**rounds_before
        different: dict[str, Completion] = {}
        for sample, verdict in group:
            if verdict.passed and sample.finish_reason != "length":
                syntax = syntax_of(problems[task_id].prompt + sample.completion)
                different.setdefault(syntax, sample)
        for sample in list(different.values())[: rules.samples_per_problem]:
            extra = sample.extra | {"weight": weight}
            examples.append(dataclasses.replace(sample, extra=extra))
    return examples
