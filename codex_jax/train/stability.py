"""Steps that would harm the model: judged on the device, undone there, and counted."""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

_DECAY = 0.98  # of the mean gradient norm
_STEPS_BEFORE_SPIKES = 20  # whose mean says little yet


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stability:
    """Response to a loss, a gradient or an update that isn't finite, or is far too large.

    Such a step changes neither weights nor optimizer, so that no checkpoint can hold it.

    Args:
      on_nonfinite: "stop" ends the run at the next log line or save; "skip" passes over the batch.
      spike_factor: A gradient norm of more than this many times its mean is skipped, too; 0 is off.
      most_skips: Steps in a row that may be skipped; more end the run.
    """

    on_nonfinite: Literal["stop", "skip"] = "stop"
    spike_factor: float = 0.0
    most_skips: int = 10


class GuardState(NamedTuple):
    """State of a guarded optimizer."""

    skipped: Any  # int32 scalar: steps skipped
    norm: Any  # float32 scalar: decayed sum of the gradient norms
    count: Any  # int32 scalar: norms in it
    inner: Any  # the optimizer's


def guard(
    tx: optax.GradientTransformation, spike_factor: float = 0.0, *, check_updates: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Wraps an optimizer so that bad steps leave everything as it was.

    Args:
      tx: The optimizer.
      spike_factor: See Stability.
      check_updates: Judge the updates too. An optimizer whose updates are finite for every gradient
        of finite norm needs no second pass over them, and XLA makes one pass of the step.

    Returns:
      An optimizer whose update takes the loss as `value`.
    """
    inner = optax.with_extra_args_support(tx)

    def init(params: Any) -> GuardState:
        zero = jnp.zeros((), jnp.int32)
        return GuardState(zero, jnp.zeros((), jnp.float32), zero, inner.init(params))

    def update(
        gradients: Any, state: GuardState, params: Any = None, *, value: Any = 0.0, **extra: Any
    ) -> tuple[Any, GuardState]:
        updates, after = inner.update(gradients, state.inner, params, **extra)
        norm = optax.tree.norm(gradients)
        is_good = jnp.isfinite(norm) & jnp.isfinite(value)
        if check_updates:
            is_good &= jnp.isfinite(optax.tree.norm(updates))
        if spike_factor:
            mean = state.norm / jnp.maximum(1 - _DECAY**state.count, 1e-6)
            is_known = state.count >= _STEPS_BEFORE_SPIKES
            is_good &= ~(is_known & (norm > spike_factor * mean))
        changed = GuardState(
            state.skipped, _DECAY * state.norm + (1 - _DECAY) * norm, state.count + 1, after
        )
        same = state._replace(skipped=state.skipped + 1)
        state = jax.tree.map(lambda new, old: jnp.where(is_good, new, old), changed, same)
        return jax.tree.map(lambda u: jnp.where(is_good, u, jnp.zeros_like(u)), updates), state

    return optax.GradientTransformationExtraArgs(init, update)


def skipped_steps(optimizer_state: Any) -> Any:
    """Returns the steps that a guarded optimizer skipped; 0 for any other."""
    return optimizer_state.skipped if isinstance(optimizer_state, GuardState) else jnp.int32(0)
