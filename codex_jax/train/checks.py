"""Checks of settings against one another, before any array is made."""

from jax.sharding import Mesh

from codex_jax import InputError, sharding
from codex_jax.model import DecoderConfig
from codex_jax.ranges import INT32_MAX
from codex_jax.train import remat
from codex_jax.train.batches import BatchShape
from codex_jax.train.compute import Compute

_DTYPES = ("float32", "bfloat16")


def check(
    batches: BatchShape,
    config: DecoderConfig,
    compute: Compute,
    mesh: Mesh,
    *,
    has_source: bool = False,
) -> None:
    """Checks that data, model, mesh and compute fit one another.

    With `has_source`, weights come from a checkpoint, which may have more ids than its tokenizer.

    Raises:
      InputError: the first setting that doesn't fit.
    """
    _check_model(batches, config, has_source=has_source)
    _check_compute(compute)
    _check_mesh(batches, compute, mesh)


def _check_model(batches: BatchShape, config: DecoderConfig, *, has_source: bool) -> None:
    is_padded = has_source and batches.vocab_size < config.vocab_size
    if batches.vocab_size != config.vocab_size and not is_padded:
        raise InputError(
            f"the data has {batches.vocab_size} ids, DecoderConfig.vocab_size is "
            f"{config.vocab_size}; set them equal"
        )
    if config.window:
        raise InputError(
            f"DecoderConfig.window is {config.window}; training has no sliding window: set it to 0"
        )
    if config.positions == "learned" and batches.sequence_length > config.max_length:
        raise InputError(
            f"rows have {batches.sequence_length} tokens, DecoderConfig.max_length is "
            f"{config.max_length}; raise it, or build the data with shorter rows"
        )
    if config.unembedding_bias:
        raise InputError("DecoderConfig.unembedding_bias is True; such a model can't be trained")


def _check_compute(compute: Compute) -> None:
    for name in ("dtype", "param_dtype"):
        if getattr(compute, name) not in _DTYPES:
            raise InputError(
                f"Compute.{name} is {getattr(compute, name)!r}; expected 'float32' or 'bfloat16'"
            )
    if compute.remat not in remat.PRESETS:
        presets = ", ".join(map(repr, remat.PRESETS))
        raise InputError(f"Compute.remat is {compute.remat!r}; expected one of {presets}")


def _check_mesh(batches: BatchShape, compute: Compute, mesh: Mesh) -> None:
    if batches.batch_size * batches.sequence_length > INT32_MAX:
        raise InputError(
            f"batch_size is {batches.batch_size}; set it to at most "
            f"{INT32_MAX // batches.sequence_length}: a batch has at most {INT32_MAX} tokens"
        )
    parts = 2 * mesh.shape["context"]
    if parts > 2 and batches.sequence_length % parts:
        raise InputError(
            f"rows have {batches.sequence_length} tokens, which 2 × context = {parts} does not "
            "divide; set MeshShape.context to a divisor of half of them, or build other rows"
        )
    multiple = sharding.data_parallel(mesh) * compute.microbatches
    if batches.batch_size % multiple:
        raise InputError(
            f"batch_size {batches.batch_size} is not a multiple of {multiple} (data devices × "
            "Compute.microbatches); set batch_size to one"
        )
    tokens = batches.batch_size * batches.sequence_length
    parts = sharding.data_parallel(mesh) * mesh.shape["context"] * compute.microbatches
    if tokens % (parts * compute.loss_chunks):
        raise InputError(
            f"Compute.loss_chunks is {compute.loss_chunks}; set it to a divisor of the "
            f"{tokens // parts} tokens of a microbatch on a device"
        )
