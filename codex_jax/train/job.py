"""A training job: the data, the model, the optimizer, the devices and the card, made once."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from codex_jax import InputError, sharding
from codex_jax.checkpoint import Card
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape
from codex_jax.train import optimizer as optimizers
from codex_jax.train.batches import RowSource
from codex_jax.train.checks import check
from codex_jax.train.compute import Compute
from codex_jax.train.initialization import Source
from codex_jax.train.lora import Lora, trained_params
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.stability import Stability

# Fields of Compute that change the numbers; the others change only where they are computed.
_DECISIVE = ("dtype", "param_dtype", "z_loss", "microbatches")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a run computes with, but its state.

    Args:
      batches: The rows' sizes and origin.
      model: The decoder.
      tx: The optimizer's chain.
      rate: Its learning rate, by step.
      mesh: The devices.
      compute: Precision and memory savers.
      stability: Response to bad steps.
      lora: Narrow matrices that are trained, if any.
      source: The checkpoint whose weights the run begins with.
      seed: Of the weights without one.
      card: The card of its checkpoints.
    """

    batches: RowSource
    model: DecoderConfig
    tx: optax.GradientTransformation
    rate: optax.Schedule
    mesh: Mesh
    compute: Compute
    stability: Stability
    lora: Lora
    source: Source
    seed: int
    card: Card

    @property
    def dtype(self) -> Any:
        """Dtype of the stored weights."""
        return jnp.dtype(self.compute.param_dtype)


def make_job(
    batches: RowSource,
    model: DecoderConfig,
    source: Source,
    optimizer: Optimizer,
    mesh: MeshShape,
    compute: Compute,
    stability: Stability,
    settings: dict[str, int],
    operative_config: str = "",
    lora: Lora = Lora(),
) -> Job:
    """Checks a run's settings against one another, and makes its job.

    Args:
      batches: The rows' sizes and origin.
      model: The decoder.
      source: The checkpoint whose weights the run begins with.
      optimizer: The optimizer and its schedule.
      mesh: Devices along each mesh axis.
      compute: Precision and memory savers.
      stability: Response to bad steps.
      settings: "steps", and "seed" of the initial weights.
      operative_config: The configuration's text, for the card.
      lora: Narrow matrices that are trained in the weights' place, if it has a rank.

    Raises:
      InputError: settings that don't fit the data, the devices or one another.
    """
    devices = sharding.make_mesh(mesh)
    check(batches, model, compute, devices, has_source=bool(source.directory))
    _check_lora(lora, source, optimizer)
    axes = trained_params(model, lora)[1]
    factor = stability.spike_factor
    tx = optimizers.make(optimizer, steps=settings["steps"], axes=axes, spike_factor=factor)
    run: dict[str, Any] = settings | source.settings() | lora.settings()
    run |= {"batch_size": batches.batch_size, "batches.seed": batches.seed}
    run |= {f"optimizer.{k}": v for k, v in dataclasses.asdict(optimizer).items()}
    run |= {f"compute.{k}": getattr(compute, k) for k in _DECISIVE}
    run |= {f"stability.{k}": v for k, v in dataclasses.asdict(stability).items()}
    card = Card(
        model=model.to_json(),
        tokenizer_hash=batches.tokenizer_hash,
        data_fingerprint=batches.fingerprint,
        run=run,
        operative_config=operative_config,
    )
    return Job(
        batches=batches,
        model=model,
        tx=tx,
        rate=optimizers.learning_rate(optimizer, steps=settings["steps"]),
        mesh=devices,
        compute=compute,
        stability=stability,
        lora=lora,
        source=source,
        seed=settings["seed"],
        card=card,
    )


def _check_lora(lora: Lora, source: Source, optimizer: Optimizer) -> None:
    if lora.lora_rank and not source.directory:
        raise InputError(
            f"lora_rank is {lora.lora_rank}, init_from isn't set; set it to the checkpoint whose "
            "weights stay"
        )
    if lora.lora_rank and optimizer.algorithm == "muon":
        raise InputError(
            "Optimizer.algorithm is 'muon', for which LoRA's matrices are too narrow; set it to "
            "'adamw'"
        )
    if not lora.lora_rank and (lora.names or lora.lora_alpha != Lora.lora_alpha):
        raise InputError("lora_alpha or lora_targets is set, lora_rank is 0; set lora_rank, too")
