"""Schedules and optimizers, described by one frozen value and made by optax."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from codex_jax import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The paper's recipe (Codex, section 3.2) where nothing else is said.

    Args:
      learning_rate: Peak of the schedule.
      warmup_steps: Steps of linear warm-up from 0.
      schedule: After it, "cosine" down to final_fraction at the last step, "wsd" (constant, then
        linear decay over the last decay_fraction of the steps), "rsqrt", or "constant".
      final_fraction: The schedule's end as a part of the peak (GPT-3: 0.1).
      decay_fraction: Part of the steps in which "wsd" decays.
      beta1: Decay of the first moment.
      beta2: Decay of the second moment.
      epsilon: Added to the root of the second moment.
      weight_decay: Decoupled, on matrices only.
      clip: Largest global norm of the gradient; 0 turns clipping off.
    """

    learning_rate: float = 6e-4
    warmup_steps: int = 175
    schedule: Literal["cosine", "wsd", "rsqrt", "constant"] = "cosine"
    final_fraction: float = 0.1
    decay_fraction: float = 0.2
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0


def learning_rate(config: Optimizer, *, steps: int) -> optax.Schedule:
    """The rate as a function of the step, for a run of `steps`.

    Raises:
      InputError: an unknown schedule, or a warm-up as long as the run.
    """
    peak, warmup = config.learning_rate, config.warmup_steps
    if warmup >= steps:
        raise InputError(f"Optimizer.warmup_steps is {warmup}; expected fewer than steps ({steps})")
    end, rest = peak * config.final_fraction, steps - warmup
    decay = max(1, round(config.decay_fraction * steps))
    after = {
        "cosine": lambda: optax.cosine_decay_schedule(peak, rest, config.final_fraction),
        "wsd": lambda: optax.linear_schedule(peak, end, decay, max(0, rest - decay)),
        "rsqrt": lambda: lambda step: peak * (1 + jnp.maximum(step, 0) / max(warmup, 1)) ** -0.5,
        "constant": lambda: optax.constant_schedule(peak),
    }
    if config.schedule not in after:
        wanted = ", ".join(map(repr, after))
        raise InputError(f"Optimizer.schedule is {config.schedule!r}; expected one of {wanted}")
    # The first step moves already: the warm-up ends, not begins, on a whole step.
    ramp = optax.linear_schedule(peak / max(warmup, 1), peak, max(warmup - 1, 1))
    return optax.join_schedules([ramp, after[config.schedule]()], [warmup])


def decays(axes: Any) -> Any:
    """Which parameters weight decay touches: matrices, which all have an "embed" axis."""
    return jax.tree.map(
        lambda names: "embed" in names, axes, is_leaf=lambda x: isinstance(x, tuple)
    )


def make(config: Optimizer, *, steps: int, axes: Any) -> optax.GradientTransformation:
    """The optax chain for parameters with these logical axes."""
    adamw = optax.adamw(
        learning_rate(config, steps=steps),
        b1=config.beta1,
        b2=config.beta2,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        mask=decays(axes),
    )
    clip = optax.clip_by_global_norm(config.clip) if config.clip else optax.identity()
    return optax.chain(clip, adamw)
