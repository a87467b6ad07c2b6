"""What can be compiled for devices that aren't here."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codex_jax import model, sharding
from codex_jax.model import DecoderConfig
from codex_jax.records import Batch
from codex_jax.sharding import MeshShape, topology
from codex_jax.sharding.chips import Chip
from codex_jax.train import loop, optimizer, state
from codex_jax.train.loop import Compute
from codex_jax.train.optimizer import Optimizer

_STEPS = 50_000  # of the schedule, which costs the same at any length


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainJob:
    """A train step, and the pod it is for: all that decides what the compiler makes of it."""

    topology: str
    slices: int
    model: DecoderConfig
    mesh: MeshShape
    batch_size: int
    sequence_length: int
    compute: Compute
    optimizer: Optimizer

    @property
    def chip(self) -> Chip:
        return topology.parse(self.topology)[0]

    @property
    def devices(self) -> int:
        return self.slices * self.chip.devices * math.prod(topology.parse(self.topology)[1])

    @property
    def tokens(self) -> int:
        """That one run of the program deals with, on all devices."""
        return self.batch_size * self.sequence_length

    def kernel_seconds(self, kernels: int) -> float:
        """The least that attention takes where kernels, that XLA has no estimate of, compute it."""
        config = self.model
        flops = 6 * config.layers * config.heads * config.head_size * self.sequence_length
        return bool(kernels) * flops * self.tokens / self.devices / self.chip.peak

    def mfu(self, seconds: float) -> float:
        """Model FLOPs utilisation; recomputation doesn't count."""
        flops = self.model.flops_per_token(self.sequence_length) * self.tokens
        return flops / self.devices / self.chip.peak / seconds


class _Sizes(NamedTuple):
    """What loop.check wants to know of data."""

    vocab_size: int
    sequence_length: int
    batch_size: int


def lower(job: TrainJob) -> Any:
    """Traces the step for the pod's devices.

    Raises:
      InputError: what doesn't divide, an unknown topology, no libtpu.
    """
    mesh = sharding.make_mesh(job.mesh, topology.devices(job.topology, slices=job.slices))
    sizes = _Sizes(job.model.vocab_size, job.sequence_length, job.batch_size)
    loop.check(sizes, job.model, job.compute, mesh)
    shapes, axes = model.abstract(job.model)
    sharding.report(shapes, axes, mesh)
    tx = optimizer.make(job.optimizer, steps=_STEPS, axes=axes)
    step = loop.jitted_step(job.model, tx, job.compute, mesh)
    return step.lower(state.abstract(job.model, tx, mesh), _batch(job, mesh))


def _batch(job: TrainJob, mesh: Mesh) -> Batch:
    where = sharding.batch_sharding(mesh)
    shape = (job.batch_size, job.sequence_length)
    types = dict.fromkeys(Batch._fields, jnp.int32) | {"loss_weights": jnp.float32}
    arrays = {name: jax.ShapeDtypeStruct(shape, t, sharding=where) for name, t in types.items()}
    return Batch(**arrays)
