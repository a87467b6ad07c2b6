"""Ranges of train's numeric settings, in one table."""

from collections.abc import Mapping
from typing import Any

from codex_jax import ranges
from codex_jax.ranges import INT32_MAX, Range, integer, real

_FRACTION = real(0, 1)
_POSITIVE = real(0, excludes_low=True)

# Class or command → setting → its range.
RANGES: dict[str, dict[str, Range]] = {
    "train": {
        "steps": integer(1, INT32_MAX),
        "seed": integer(0, 2**32 - 1),
        "init_step": integer(0, is_optional=True),
        "log_every": integer(1),
        "save_every": integer(1),
    },
    "Optimizer": {
        "learning_rate": _POSITIVE,
        "warmup_steps": integer(0),
        "final_fraction": _FRACTION,
        "decay_fraction": _FRACTION,
        "beta1": real(0, 1, excludes_high=True),
        "beta2": real(0, 1, excludes_high=True),
        "epsilon": _POSITIVE,
        "weight_decay": real(0),
        "clip_norm": real(0),
    },
    "Lora": {"lora_rank": integer(0), "lora_alpha": _POSITIVE},
    "Compute": {"microbatches": integer(1), "loss_chunks": integer(1), "z_loss": real(0)},
    "Retention": {
        "keep_latest": integer(1),
        "keep_every": integer(1, is_optional=True),
        "keep_best": integer(0),
    },
    "Runtime": {"profile_steps": integer(1)},
    "Stability": {"spike_factor": real(0), "most_skips": integer(1)},
    "HostLimits": {
        "lost_after_s": real(1, 90),
        "timeout_s": real(1),
        "slow_factor": real(0),
    },
    "Validation": {
        "every": integer(1),
        "batches": integer(1, is_optional=True),
        "early_stopping_patience": integer(0),
    },
}


def check_ranges(settings: Mapping[str, Any]) -> None:
    """Checks train's settings, its own numbers and those in classes.

    Raises:
      InputError: the first setting that isn't in its range.
    """
    own = {name: allowed for name, allowed in RANGES["train"].items() if name in settings}
    ranges.check("train", settings, own)
    for each in settings.values():
        ranges.check(type(each).__name__, each, RANGES.get(type(each).__name__, {}))
