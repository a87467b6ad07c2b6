"""Schedules and optimizers: a frozen config, and the optax chain that it describes."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from codex_jax import InputError
from codex_jax.train.stability import guard

# Their updates are finite for every gradient of finite norm: adamw divides by a root plus epsilon
# of squares that fit f32, lion takes signs.
_FINITE = ("adamw", "lion")
_MIN_FACTORED_SIZE = 64  # of an axis that adafactor factors: a head's, not the stack's of layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The optimizer and its schedule; the defaults are the Codex paper's (section 3.2).

    Args:
      algorithm: "adamw"; "adafactor" (Shazeer and Stern 2018: second moments by rows and columns,
        steps relative to a matrix's scale); "lion" (Chen et al. 2023: signs; needs a tenth of
        adamw's rate); "muon" (Jordan 2024: orthogonalizes blocks' matrices, adamw for the rest).
      learning_rate: Peak of the schedule.
      warmup_steps: Steps of linear warm-up from 0.
      schedule: After warm-up: "cosine" down to final_fraction at the last step; "wsd" (constant,
        then linear decay over the last decay_fraction of the steps); "rsqrt"; or "constant".
      final_fraction: End of the schedule as a fraction of the peak (GPT-3: 0.1).
      decay_fraction: Fraction of the steps in which "wsd" decays.
      beta1: Decay of the first moment (adafactor has none).
      beta2: Decay of the second moment; lion's of its momentum.
      epsilon: Added to the root of the second moment (adamw, muon).
      mu_dtype: Of the first moments.
      weight_decay: Decoupled, on matrices only.
      clip_norm: Largest global norm of the gradient; 0 disables clipping.
    """

    algorithm: Literal["adamw", "adafactor", "lion", "muon"] = "adamw"
    learning_rate: float = 6e-4
    warmup_steps: int = 175
    schedule: Literal["cosine", "wsd", "rsqrt", "constant"] = "cosine"
    final_fraction: float = 0.1
    decay_fraction: float = 0.2
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    mu_dtype: Literal["float32", "bfloat16"] = "float32"
    weight_decay: float = 0.1
    clip_norm: float = 1.0


def learning_rate(config: Optimizer, *, steps: int) -> optax.Schedule:
    """The rate as a function of the step, for a run of `steps`.

    Raises:
      InputError: an unknown schedule, or a warm-up as long as the run.
    """
    peak, warmup = config.learning_rate, config.warmup_steps
    if warmup >= steps:
        raise InputError(f"Optimizer.warmup_steps is {warmup}; expected fewer than steps ({steps})")
    end, after_warmup = peak * config.final_fraction, steps - warmup
    decay = max(1, round(config.decay_fraction * steps))
    schedules = {
        "cosine": lambda: optax.cosine_decay_schedule(peak, after_warmup, config.final_fraction),
        "wsd": lambda: optax.linear_schedule(peak, end, decay, max(0, after_warmup - decay)),
        "rsqrt": lambda: lambda step: peak * (1 + jnp.maximum(step, 0) / max(warmup, 1)) ** -0.5,
        "constant": lambda: optax.constant_schedule(peak),
    }
    if config.schedule not in schedules:
        names = ", ".join(map(repr, schedules))
        raise InputError(f"Optimizer.schedule is {config.schedule!r}; expected one of {names}")
    # The rate of step 0 is peak / warmup, not 0: the first step already updates the weights.
    ramp = optax.linear_schedule(peak / max(warmup, 1), peak, max(warmup - 1, 1))
    return optax.join_schedules([ramp, schedules[config.schedule]()], [warmup])


def decay_mask(axes: Any) -> Any:
    """True for parameters with weight decay: matrices, which have an axis "embed" or "rank"."""
    return jax.tree.map(
        lambda names: bool({"embed", "rank"} & set(names)),
        axes,
        is_leaf=lambda x: isinstance(x, tuple),
    )


def projections(axes: Any) -> Any:
    """Muon's input and output axes of the blocks' stacked matrices; None for other parameters."""

    def dimensions(names):
        if names[0] != "layers" or "embed" not in names:
            return None
        embed = names.index("embed")
        others = tuple(n for n in range(1, len(names)) if n != embed)
        reads_embed = embed == 1
        return optax.contrib.MuonDimensionNumbers(
            reduction_axis=(embed,) if reads_embed else others,
            output_axis=others if reads_embed else (embed,),
        )

    return jax.tree.map(dimensions, axes, is_leaf=lambda x: isinstance(x, tuple))


def make(
    config: Optimizer, *, steps: int, axes: Any, spike_factor: float = 0.0
) -> optax.GradientTransformation:
    """The optax chain for parameters with these logical axes, which skips bad steps.

    Raises:
      InputError: an unknown algorithm or schedule, or a warm-up as long as the run.
    """
    algorithms = {"adamw": _adamw, "adafactor": _adafactor, "lion": _lion, "muon": _muon}
    if config.algorithm not in algorithms:
        names = ", ".join(map(repr, algorithms))
        raise InputError(f"Optimizer.algorithm is {config.algorithm!r}; expected one of {names}")
    rate = learning_rate(config, steps=steps)
    clip = clip_by_norm(config.clip_norm) if config.clip_norm else optax.identity()
    tx = optax.chain(clip, algorithms[config.algorithm](config, rate, axes))
    return guard(tx, spike_factor, check_updates=config.algorithm not in _FINITE)


def clip_by_norm(limit: float) -> optax.GradientTransformation:
    """Scales gradients of a global norm above `limit` down to it.

    By one factor, unlike optax's choice of two arrays: so XLA needn't store the scaled gradients.
    """

    def clip(gradients: Any, params: Any) -> Any:
        del params
        factor = limit / jnp.maximum(optax.tree.norm(gradients), limit)
        return jax.tree.map(lambda g: g * factor, gradients)

    return optax.stateless(clip)


def _adamw(config: Optimizer, rate: optax.Schedule, axes: Any) -> optax.GradientTransformation:
    return optax.adamw(
        rate,
        b1=config.beta1,
        b2=config.beta2,
        eps=config.epsilon,
        mu_dtype=config.mu_dtype,
        weight_decay=config.weight_decay,
        mask=decay_mask(axes),
    )


def _adafactor(config: Optimizer, rate: optax.Schedule, axes: Any) -> optax.GradientTransformation:
    return optax.adafactor(
        rate,
        min_dim_size_to_factor=_MIN_FACTORED_SIZE,
        weight_decay_rate=lambda step: (
            config.weight_decay * rate(step)
        ),  # optax doesn't scale it by the rate
        weight_decay_mask=decay_mask(axes),
    )


def _lion(config: Optimizer, rate: optax.Schedule, axes: Any) -> optax.GradientTransformation:
    return optax.lion(
        rate,
        b1=config.beta1,
        b2=config.beta2,
        mu_dtype=config.mu_dtype,
        weight_decay=config.weight_decay,
        mask=decay_mask(axes),
    )


def _muon(config: Optimizer, rate: optax.Schedule, axes: Any) -> optax.GradientTransformation:
    return optax.contrib.muon(
        rate,
        beta=config.beta1,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        mu_dtype=config.mu_dtype,
        adam_b1=config.beta1,
        adam_b2=config.beta2,
        adam_weight_decay=config.weight_decay,
        muon_weight_dimension_numbers=lambda _: projections(axes),
        consistent_rms=0.2,  # of adamw's steps (Liu et al. 2025, section 2.2)
    )
