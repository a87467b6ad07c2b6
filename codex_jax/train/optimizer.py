"""Schedules and optimizers, described by one frozen value and made by optax."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from codex_jax import InputError

_FACTORED = 64  # from which size on adafactor sums axes away: a head's, not the stack's of layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The paper's recipe (Codex, section 3.2) where nothing else is said.

    Args:
      kind: "adamw"; "adafactor" (Shazeer and Stern 2018: second moments by rows and columns, steps
        relative to a matrix's scale); "lion" (Chen et al. 2023: signs; wants a tenth of adamw's
        rate); "muon" (Jordan 2024: blocks' matrices orthogonalised, the rest by adamw).
      learning_rate: Peak of the schedule.
      warmup_steps: Steps of linear warm-up from 0.
      schedule: After it, "cosine" down to final_fraction at the last step, "wsd" (constant, then
        linear decay over the last decay_fraction of the steps), "rsqrt", or "constant".
      final_fraction: The schedule's end as a part of the peak (GPT-3: 0.1).
      decay_fraction: Part of the steps in which "wsd" decays.
      beta1: Decay of the first moment (adafactor keeps none).
      beta2: Decay of the second moment; lion's of its momentum.
      epsilon: Added to the root of the second moment (adamw, muon).
      moments: What first moments are kept in.
      weight_decay: Decoupled, on matrices only.
      clip: Largest global norm of the gradient; 0 turns clipping off.
    """

    kind: Literal["adamw", "adafactor", "lion", "muon"] = "adamw"
    learning_rate: float = 6e-4
    warmup_steps: int = 175
    schedule: Literal["cosine", "wsd", "rsqrt", "constant"] = "cosine"
    final_fraction: float = 0.1
    decay_fraction: float = 0.2
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    moments: Literal["float32", "bfloat16"] = "float32"
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


def projections(axes: Any) -> Any:
    """How blocks' matrices, stacked by layer, map inputs to outputs; None for all else."""

    def one(names):
        if names[0] != "layers" or "embed" not in names:
            return None
        embed = names.index("embed")
        others = tuple(n for n in range(1, len(names)) if n != embed)
        into = embed == 1
        return optax.contrib.MuonDimensionNumbers(
            reduction_axis=(embed,) if into else others, output_axis=others if into else (embed,)
        )

    return jax.tree.map(one, axes, is_leaf=lambda x: isinstance(x, tuple))


def make(config: Optimizer, *, steps: int, axes: Any) -> optax.GradientTransformation:
    """The optax chain for parameters with these logical axes.

    Raises:
      InputError: an unknown kind or schedule, or a warm-up as long as the run.
    """
    kinds = {"adamw": _adamw, "adafactor": _adafactor, "lion": _lion, "muon": _muon}
    if config.kind not in kinds:
        wanted = ", ".join(map(repr, kinds))
        raise InputError(f"Optimizer.kind is {config.kind!r}; expected one of {wanted}")
    chosen = kinds[config.kind](config, learning_rate(config, steps=steps), axes)
    clip = optax.clip_by_global_norm(config.clip) if config.clip else optax.identity()
    return optax.chain(clip, chosen)


def _adamw(config: Optimizer, rate: optax.Schedule, axes: Any) -> optax.GradientTransformation:
    return optax.adamw(
        rate,
        b1=config.beta1,
        b2=config.beta2,
        eps=config.epsilon,
        mu_dtype=config.moments,
        weight_decay=config.weight_decay,
        mask=decays(axes),
    )


def _adafactor(config: Optimizer, rate: optax.Schedule, axes: Any) -> optax.GradientTransformation:
    return optax.adafactor(
        rate,
        min_dim_size_to_factor=_FACTORED,
        weight_decay_rate=lambda step: config.weight_decay * rate(step),  # optax takes it as is
        weight_decay_mask=decays(axes),
    )


def _lion(config: Optimizer, rate: optax.Schedule, axes: Any) -> optax.GradientTransformation:
    return optax.lion(
        rate,
        b1=config.beta1,
        b2=config.beta2,
        mu_dtype=config.moments,
        weight_decay=config.weight_decay,
        mask=decays(axes),
    )


def _muon(config: Optimizer, rate: optax.Schedule, axes: Any) -> optax.GradientTransformation:
    return optax.contrib.muon(
        rate,
        beta=config.beta1,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        mu_dtype=config.moments,
        adam_b1=config.beta1,
        adam_b2=config.beta2,
        adam_weight_decay=config.weight_decay,
        muon_weight_dimension_numbers=lambda _: projections(axes),
        consistent_rms=0.2,  # of adamw's steps (Liu et al. 2025, section 2.2)
    )
