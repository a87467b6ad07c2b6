"""What can be compiled for devices that aren't here."""

import abc
import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codex_jax import model, sharding
from codex_jax.model import DecoderConfig
from codex_jax.records import Batch
from codex_jax.sharding import MeshShape, topology
from codex_jax.sharding.chips import Chip
from codex_jax.train import checks, optimizer, state
from codex_jax.train.compute import Compute, jit_step
from codex_jax.train.optimizer import Optimizer

_STEPS = 50_000  # of the schedule, which costs the same at any length


@dataclasses.dataclass
class _RowSizes:
    """Sizes of a global batch, for `checks.check`."""

    vocab_size: int
    sequence_length: int
    batch_size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job(abc.ABC):
    """A program, and the pod it is for: all that decides what the compiler makes of it."""

    topology: str
    slices: int
    model: DecoderConfig
    mesh: MeshShape

    loops = False  # whether a step is one turn of the program's loop
    turns = "batch_size, Compute.remat, Compute.loss_chunks"  # where it doesn't fit

    @property
    def chip(self) -> Chip:
        return topology.parse(self.topology)[0]

    @property
    def devices(self) -> int:
        return (
            self.slices * self.chip.devices_per_chip * math.prod(topology.parse(self.topology)[1])
        )

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """What is compiled."""

    def placed(self) -> list[Any]:
        """The pod's devices.

        Raises:
          InputError: an unknown topology, no libtpu.
        """
        return topology.devices(self.topology, slices=self.slices)

    @abc.abstractmethod
    def lower(self) -> Any:
        """Traces the program for the pod's devices.

        Raises:
          InputError: what doesn't divide, an unknown topology, no libtpu.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainJob(Job):
    """A train step."""

    batch_size: int
    sequence_length: int
    compute: Compute
    optimizer: Optimizer

    @property
    def title(self) -> str:
        rows = f"{self.batch_size} rows of {self.sequence_length}"
        return f"train step of {rows}, remat {self.compute.remat}, {self.compute.dtype}"

    @property
    def tokens(self) -> int:
        """Of a step, on all devices."""
        return self.batch_size * self.sequence_length

    def kernel_seconds(self, kernels: int) -> float:
        """The least that attention takes where kernels, that XLA has no estimate of, compute it."""
        config = self.model
        flops = 6 * config.layers * config.heads * config.head_size * self.sequence_length
        return bool(kernels) * flops * self.tokens / self.devices / self.chip.peak_flops

    def mfu(self, seconds: float) -> float:
        """Model FLOPs utilisation; recomputation doesn't count."""
        flops = self.model.flops_per_token(self.sequence_length) * self.tokens
        return flops / self.devices / self.chip.peak_flops / seconds

    def lower(self) -> Any:
        mesh = sharding.make_mesh(self.mesh, self.placed())
        sizes = _RowSizes(self.model.vocab_size, self.sequence_length, self.batch_size)
        checks.check(sizes, self.model, self.compute, mesh)
        shapes, axes = model.abstract_params(self.model)
        sharding.report(shapes, axes, mesh)
        tx = optimizer.make(self.optimizer, steps=_STEPS, axes=axes)
        step = jit_step(self.model, tx, self.compute, mesh)
        kept = state.abstract_state(self.model, tx, mesh, dtype=jnp.dtype(self.compute.param_dtype))
        return step.lower(kept, self._batch(mesh))

    def _batch(self, mesh: Mesh) -> Batch:
        where = sharding.batch_sharding(mesh)
        shape = (self.batch_size, self.sequence_length)
        types = dict.fromkeys(Batch._fields, jnp.int32) | {"loss_weights": jnp.float32}
        arrays = {name: jax.ShapeDtypeStruct(shape, t, sharding=where) for name, t in types.items()}
        return Batch(**arrays)
