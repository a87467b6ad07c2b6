"""Sizes of a batch of samples, and the use that is made of them."""

import dataclasses
from collections.abc import Sequence

from codex_jax import InputError, ranges
from codex_jax.sample.sampling.stop_strings import PAPER_STOPS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollout:
    """Samples of a batch, and the use that is made of them.

    Args:
      prompts_per_batch: Prompts of a batch.
      samples_per_prompt: Samples of each, the group that their rewards are compared in.
      refills: Most times that prompts whose samples all have one reward are replaced by others.
      updates_per_batch: Optimizer steps on each batch; above 1, ratios are clipped.
      clip: How far a token's ratio of probabilities may fall below 1, and rise above.
      max_new_tokens: Most tokens of a sample; samples that reach it aren't learned from.
      stops: Strings before which a completion ends.
      sampler_rows: Samples that run at a time.
      sampler_dtype: Of the sampler's weights, caches and activations.
      token_healing: Sample a prompt's last tokens anew where a longer token may stand there.
      shadow_share: Share of a problem's cases that is never rewarded; at least one case.
    """

    prompts_per_batch: int = 16
    samples_per_prompt: int = 16
    refills: int = 2
    updates_per_batch: int = 1
    clip: tuple[float, float] = (0.2, 0.28)
    max_new_tokens: int = 200
    stops: Sequence[str] = PAPER_STOPS
    sampler_rows: int = 64
    sampler_dtype: str = "float32"
    token_healing: bool = True
    shadow_share: float = 0.25


_DTYPES = ("float32", "bfloat16")
_RANGES = {
    "prompts_per_batch": ranges.integer(1),
    "samples_per_prompt": ranges.integer(2),
    "refills": ranges.integer(0),
    "updates_per_batch": ranges.integer(1),
    "max_new_tokens": ranges.integer(1),
    "sampler_rows": ranges.integer(1),
    "shadow_share": ranges.real(0, 1),
}


def check_rollout(rollout: Rollout) -> None:
    """Checks the numbers.

    Raises:
      InputError: the first one that isn't in its range.
    """
    ranges.check("Rollout", rollout, _RANGES)
    if isinstance(rollout.stops, str) or not all(rollout.stops):
        raise InputError(
            f"Rollout.stops is {rollout.stops!r:.60}; set it to a list of strings, none empty"
        )
    if rollout.sampler_dtype not in _DTYPES:
        raise InputError(
            f"Rollout.sampler_dtype is {rollout.sampler_dtype!r:.60}; set it to one of "
            f"{', '.join(_DTYPES)}"
        )
    if len(rollout.clip) != 2 or not (0 < rollout.clip[0] < 1 and rollout.clip[1] > 0):
        raise InputError(
            f"Rollout.clip is {rollout.clip!r}; set it to two numbers above 0, the first below 1"
        )
