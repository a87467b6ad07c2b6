"""train(): the page to read first."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codex_jax import InputError, model, progress, sharding
from codex_jax.checkpoint import Card, Checkpoints
from codex_jax.model import DecoderConfig
from codex_jax.records import Batch
from codex_jax.sharding import MeshShape
from codex_jax.train import optimizer as optimizers
from codex_jax.train import remat
from codex_jax.train import state as states
from codex_jax.train.attention_choice import attention_on
from codex_jax.train.metrics import Metrics
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.step import train_step

# What XLA's TPU compiler must be told before it lets weights come in while a layer before them
# is computed; by itself it does so on v5e alone.
_OVERLAPPED = {
    "xla_enable_async_all_gather": True,
    "xla_tpu_enable_async_collective_fusion": True,
    "xla_tpu_enable_async_collective_fusion_fuse_all_gather": True,
    "xla_tpu_overlap_compute_collective_tc": True,
}


class Batches(Protocol):
    """What training asks of data: global batch n as a function of n alone."""

    fingerprint: str
    tokenizer_hash: str
    vocab_size: int
    sequence_length: int
    batch_size: int

    def batches(self, start: int, rows: slice | None = None) -> Iterator[Batch]: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compute:
    """How a step is computed. A run may be resumed with another trade of time for memory.

    Args:
      dtype: Of activations and matrix products, "float32" or "bfloat16".
      weights: What weights are kept in; "bfloat16" halves them, and loses updates below a 256th.
      microbatches: Turns in which a batch is taken, to save memory.
      loss_chunks: Pieces in which the logits are made, to save memory.
      overlap: On TPU, gather weights beside computation; takes memory for what is under way.
      z_loss: Weight of log²Z in the loss (PaLM: 1e-4).
      remat: What the backward pass computes again: "none"; "minimal" (all but matrix products and
        attention's result); "save_dots" (all but matrix products); "offload" (the same, kept in
        the host's memory); "full" (all but each block's input).
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    weights: Literal["float32", "bfloat16"] = "float32"
    microbatches: int = 1
    loss_chunks: int = 1
    overlap: bool = True
    z_loss: float = 0.0
    remat: Literal["none", "minimal", "save_dots", "offload", "full"] = "none"


def train(
    *,
    batches: Batches,
    model: DecoderConfig,
    checkpoint_dir: str,
    steps: int,
    optimizer: Optimizer = Optimizer(),
    mesh: MeshShape = MeshShape(),
    compute: Compute = Compute(),
    seed: int = 0,
    log_every: int = 10,
    save_every: int = 200,
    keep: int = 2,
    operative_config: str = "",
) -> dict[str, float]:
    """Trains a decoder, from the newest checkpoint in checkpoint_dir where there is one.

    Args:
      batches: The packed rows; batch n is a pure function of (fingerprint, seed, n).
      model: The decoder.
      checkpoint_dir: Holds the checkpoints and metrics.jsonl.
      steps: Optimizer steps of the whole run.
      optimizer: What turns gradients into steps, and its schedule.
      mesh: Devices along each mesh axis.
      compute: Precision, and what is traded for memory.
      seed: Of the initial weights.
      log_every: Steps between lines on the screen.
      save_every: Steps between checkpoints.
      keep: Newest checkpoints kept.
      operative_config: The configuration's text, for the card.

    Returns:
      The last step's metrics.

    Raises:
      InputError: settings that don't fit the data, the devices or the checkpoint found.
    """
    devices = sharding.make_mesh(mesh)
    check(batches, model, compute, devices)
    tx = optimizers.make(optimizer, steps=steps, axes=_logical_axes(model))
    card = _card(batches, model, optimizer, compute, steps, seed, operative_config)
    checkpoints = Checkpoints(checkpoint_dir, keep=keep)
    dtype = jnp.dtype(compute.weights)
    state, start = restore_or_init(checkpoints, model, tx, devices, card, seed=seed, dtype=dtype)
    rows = batches.batches(start, _local_rows(devices, batches))
    metrics = Metrics(pathlib.Path(checkpoint_dir) / "metrics.jsonl", start=start)
    turns = Turns(start=start, steps=steps, log_every=log_every, save_every=save_every)
    step = _placing(jitted_step(model, tx, compute, devices), devices, batches.batch_size)
    run(turns, state, step, rows, metrics, save=_saver(checkpoints, card))
    checkpoints.finish()
    checkpoints.close()
    return metrics.last


class Turns(NamedTuple):
    """Where a run begins and ends, and what happens how often on the way."""

    start: int
    steps: int
    log_every: int
    save_every: int


def run(turns: Turns, state, take_step, rows: Iterator[Batch], metrics: Metrics, *, save) -> None:
    """The loop. One turn more than steps: the end logs and saves where all before it does."""
    with progress.bar(what="train", total=turns.steps, unit="step", done=turns.start) as bar:
        for step in range(turns.start, turns.steps + 1):
            if due(step, turns.log_every, turns.steps) and (line := metrics.flush()):
                rate = line["tokens"] / line["seconds"]
                bar.set_postfix_str(f"loss {line['loss']:.3f}, {rate:.0f} tokens/s")
            if due(step, turns.save_every, turns.steps):
                save(step, state)
            if step < turns.steps:
                state, values = take_step(state, metrics.wait_for(rows))
                metrics.add(step, values)
                bar.update()


def due(step: int, every: int, last: int) -> bool:
    """Whether a periodic thing happens now: each `every` steps, not at 0, always at the end."""
    return step == last or (step > 0 and step % every == 0)


def _saver(checkpoints: Checkpoints, card: Card):
    def save(step, state):
        if step != checkpoints.latest:
            checkpoints.save(step, state.params, state._replace(params=None), card)

    return save


def _logical_axes(config: DecoderConfig):
    return model.abstract(config)[1]


def check(batches: Batches, config: DecoderConfig, compute: Compute, devices) -> None:
    """Raises InputError where data, model, mesh and microbatches don't fit one another."""
    if batches.vocab_size != config.vocab_size:
        raise InputError(
            f"the data has {batches.vocab_size} ids, DecoderConfig.vocab_size is "
            f"{config.vocab_size}; make them equal"
        )
    if config.positions == "learned" and batches.sequence_length > config.max_length:
        raise InputError(
            f"rows have {batches.sequence_length} tokens, DecoderConfig.max_length is "
            f"{config.max_length}; raise it, or build the data with shorter rows"
        )
    if config.unembedding_bias:
        raise InputError("DecoderConfig.unembedding_bias is True; such a model can't be trained")
    for name in ("dtype", "weights"):
        if getattr(compute, name) not in ("float32", "bfloat16"):
            raise InputError(
                f"Compute.{name} is {getattr(compute, name)!r}; expected 'float32' or 'bfloat16'"
            )
    if compute.remat not in remat.PRESETS:
        wanted = ", ".join(map(repr, remat.PRESETS))
        raise InputError(f"Compute.remat is {compute.remat!r}; expected one of {wanted}")
    columns = 2 * devices.shape["context"]
    if columns > 2 and batches.sequence_length % columns:
        raise InputError(
            f"rows have {batches.sequence_length} tokens, which 2 × context = {columns} does not "
            "divide; turn MeshShape.context, or build the data with other rows"
        )
    parts = sharding.data_parallel(devices) * compute.microbatches
    if batches.batch_size % parts:
        raise InputError(
            f"batch_size {batches.batch_size} is not a multiple of {parts} (data devices × "
            "Compute.microbatches); turn batch_size"
        )


def _card(batches, config, optimizer, compute, steps, seed, operative_config) -> Card:
    run = {"steps": steps, "seed": seed, "batch_size": batches.batch_size}
    run |= {f"optimizer.{k}": v for k, v in dataclasses.asdict(optimizer).items()}
    run |= {f"compute.{k}": getattr(compute, k) for k in ("dtype", "weights", "z_loss")}
    return Card(
        model=config.to_json(),
        tokenizer_hash=batches.tokenizer_hash,
        data_fingerprint=batches.fingerprint,
        run=run,
        operative_config=operative_config,
    )


def restore_or_init(
    checkpoints: Checkpoints, config, tx, devices, card: Card, *, seed: int, dtype=jnp.float32
):
    """(state, step): of the newest checkpoint, else fresh.

    Raises:
      InputError: the checkpoint found is of another run; every difference is named.
    """
    found = checkpoints.latest
    if found is None:
        return states.born(config, tx, devices, seed=seed, dtype=dtype), 0
    if differences := checkpoints.card(found).differences(card):
        raise InputError(
            f"{checkpoints.directory} holds step {found} of another run (found, wanted): "
            f"{'; '.join(differences)}; turn checkpoint_dir, or delete it"
        )
    target = states.abstract(config, tx, devices, dtype=dtype)
    params, rest = checkpoints.restore(found, target.params, target._replace(params=None))
    return rest._replace(params=params), found


def jitted_step(config: DecoderConfig, tx, compute: Compute, devices: Mesh):
    """train_step, compiled; the state is donated, so that it exists once."""
    step = functools.partial(
        train_step,
        config=config,
        tx=tx,
        microbatches=compute.microbatches,
        dtype=jnp.dtype(compute.dtype),
        chunks=compute.loss_chunks,
        z_loss=compute.z_loss,
        remat=compute.remat,
        attention=attention_on(devices, config),
        mesh=devices,
    )
    on_tpu = devices.devices.flat[0].platform == "tpu"
    options = _OVERLAPPED if compute.overlap and on_tpu else None
    return jax.jit(step, donate_argnums=0, compiler_options=options)


def _local_rows(devices, batches: Batches) -> slice:
    """The rows of a global batch that this process's devices hold: a contiguous run."""
    shape = (batches.batch_size, batches.sequence_length)
    held = sharding.batch_sharding(devices).addressable_devices_indices_map(shape).values()
    starts = [index[0].start or 0 for index in held]
    stops = [index[0].stop or batches.batch_size for index in held]
    return slice(min(starts), max(stops))


def _placing(step, devices, batch_size: int):
    """`step`, on a batch of local rows: each becomes its part of a global array."""
    where = sharding.batch_sharding(devices)

    def put(local):
        shape = (batch_size, *local.shape[1:])
        return jax.make_array_from_process_local_data(where, local, shape)

    return lambda state, batch: step(state, Batch(*map(put, batch)))
