"""The state of step 0: random weights, or those of another checkpoint (`train --init_from`)."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from codex_jax import InputError, checkpoint
from codex_jax.checkpoint import Card
from codex_jax.model import DecoderConfig, abstract_params
from codex_jax.train import state as states
from codex_jax.train.batches import RowSource
from codex_jax.train.lora import Lora
from codex_jax.train.state import TrainState


@dataclasses.dataclass(frozen=True)
class Source:
    """A checkpoint whose weights a run begins with; none if `directory` is empty."""

    directory: str = ""
    step: int | None = None  # None is the newest

    def __post_init__(self) -> None:
        """Refuses a step without a checkpoint."""
        if self.step is not None and not self.directory:
            raise InputError("init_step is set, init_from isn't; set init_from to its checkpoint")

    @functools.cached_property
    def card(self) -> Card:
        """The card.

        Raises:
          InputError: no such checkpoint.
        """
        return checkpoint.read_card(self.directory, step=self.step)

    def settings(self) -> dict[str, Any]:
        """Returns the entries of a run's card; none without a source."""
        return {"init_from": self.directory, "init_step": self.step} if self.directory else {}


def select_model(
    model: DecoderConfig | None, checkpoint_dir: str, source: Source, batches: RowSource
) -> DecoderConfig:
    """Returns the model that is set, else the checkpoint's to continue, else the source's.

    Raises:
      InputError: there is none of the three, or the source doesn't fit model and data.
    """
    if checkpoint.has_steps(checkpoint_dir):
        if model is None:
            card = checkpoint.read_card(checkpoint_dir, check_content=False)
            model = DecoderConfig.from_json(card.model)
        return model
    if source.directory:
        model = model or DecoderConfig.from_json(source.card.model)
        check_source(source, model, batches)
    if model is not None:
        return model
    raise InputError(
        "not set: DecoderConfig.layers, DecoderConfig.width, DecoderConfig.heads; set a file of "
        "gin_configs/model, or set init_from to a checkpoint whose weights training begins with"
    )


def check_source(source: Source, model: DecoderConfig, batches: RowSource) -> None:
    """Checks that a source's weights are of this model, and its tokenizer the data's.

    Raises:
      InputError: they aren't; all differences are named.
    """
    card = source.card
    name = f"init_from: {source.directory} step {card.step}"
    if card.tokenizer_hash != batches.tokenizer_hash:
        raise InputError(
            f"{name} was trained with the tokenizer {card.tokenizer_hash[:12] or 'unknown'}, the "
            f"rows were made with {batches.tokenizer_hash[:12]}; build the rows with the "
            "checkpoint's tokenizer"
        )
    shapes = abstract_params(model)[0]
    differences = _differences(DecoderConfig.from_json(card.model), model)
    differences += checkpoint.shape_differences(source.directory, shapes, step=card.step)
    if differences:
        raise InputError(
            f"{name} is another model (saved, set now): {'; '.join(differences)}; leave the "
            "model unset to take the checkpoint's"
        )


def _differences(saved: DecoderConfig, config: DecoderConfig) -> list[str]:
    """Fields that change the function that the same weights compute."""
    ignored = {"vocab_multiple"} | ({"max_length"} if config.positions == "rotary" else set())
    pairs = [
        (field.name, getattr(saved, field.name), getattr(config, field.name))
        for field in dataclasses.fields(config)
        if field.name not in ignored
    ]
    return [f"DecoderConfig.{name}: {old!r}, {new!r}" for name, old, new in pairs if old != new]


def initial_state(
    source: Source,
    config: DecoderConfig,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    *,
    seed: int,
    dtype: Any = jnp.float32,
    lora: Lora = Lora(),
) -> TrainState:
    """State at step 0: weights of the source or random ones, and a new state of the optimizer.

    With LoRA, it is that of the small tree.

    Raises:
      InputError: the source is damaged.
    """
    if lora.lora_rank or not source.directory:
        return states.init_sharded(config, tx, mesh, seed=seed, dtype=dtype, lora=lora)
    card = source.card
    target = states.abstract_state(config, tx, mesh, dtype=dtype)
    params = checkpoint.restore_params(source.directory, target.params, step=card.step)

    def init_optimizer(params: Any) -> Any:
        return tx.init(jax.tree.map(lambda p: p.astype(jnp.float32), params))

    placement = states.shardings(config, tx, mesh)
    optimizer = jax.jit(init_optimizer, out_shardings=placement.optimizer)(params)
    step = jax.device_put(jnp.zeros((), jnp.int32), placement.step)
    return TrainState(step, params, optimizer)
