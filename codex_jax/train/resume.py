"""The card of a run, and its state: of the newest checkpoint, or initial."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax.sharding import Mesh

from codex_jax import InputError
from codex_jax.checkpoint import Card, Checkpoints
from codex_jax.model import DecoderConfig
from codex_jax.train import state as states
from codex_jax.train.batches import Batches
from codex_jax.train.compute import Compute
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.state import TrainState


def make_card(
    batches: Batches,
    config: DecoderConfig,
    optimizer: Optimizer,
    compute: Compute,
    settings: dict[str, Any],
    operative_config: str,
) -> Card:
    """The card of a run, with every setting that a resumed run must share."""
    run = settings | {"batch_size": batches.batch_size}
    run |= {f"optimizer.{k}": v for k, v in dataclasses.asdict(optimizer).items()}
    run |= {f"compute.{k}": getattr(compute, k) for k in ("dtype", "param_dtype", "z_loss")}
    return Card(
        model=config.to_json(),
        tokenizer_hash=batches.tokenizer_hash,
        data_fingerprint=batches.fingerprint,
        run=run,
        operative_config=operative_config,
    )


def restore_or_init(
    checkpoints: Checkpoints,
    config: DecoderConfig,
    tx,
    mesh: Mesh,
    card: Card,
    *,
    seed: int,
    dtype=jnp.float32,
) -> tuple[TrainState, int]:
    """(state, step) of the newest checkpoint, or the initial state and 0 if there is none.

    Raises:
      InputError: the checkpoint is of another run; every difference is named.
    """
    step = checkpoints.latest
    if step is None:
        return states.init_sharded(config, tx, mesh, seed=seed, dtype=dtype), 0
    if differences := checkpoints.card(step).differences(card):
        raise InputError(
            f"{checkpoints.directory} holds step {step} of another run (saved, set now): "
            f"{'; '.join(differences)}; set another checkpoint_dir, or delete it"
        )
    target = states.abstract_state(config, tx, mesh, dtype=dtype)
    params, rest = checkpoints.restore(step, target.params, target._replace(params=None))
    return rest._replace(params=params), step
