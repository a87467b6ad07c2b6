"""Programs to compile for a TPU topology that isn't attached."""

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
class Target(abc.ABC):
    """A program and its topology, with every setting that the compiled program depends on."""

    topology: str
    slices: int
    model: DecoderConfig
    mesh: MeshShape

    is_loop = False  # whether a step is an iteration of the program's loop
    tunables = "batch_size, Compute.remat, Compute.loss_chunks"  # settings that save memory

    @property
    def chip(self) -> Chip:
        """The topology's chip."""
        return topology.parse(self.topology)[0]

    @property
    def devices(self) -> int:
        """Number of JAX devices on all slices."""
        return (
            self.slices * self.chip.devices_per_chip * math.prod(topology.parse(self.topology)[1])
        )

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """The program, in a line of the report."""

    def devices_for(self) -> list[Any]:
        """The topology's devices.

        Raises:
          InputError: an unknown topology, no libtpu.
        """
        return topology.devices(self.topology, slices=self.slices)

    @abc.abstractmethod
    def lower(self) -> Any:
        """Traces the program for the topology's devices.

        Raises:
          InputError: sizes that don't divide, an unknown topology, no libtpu.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainTarget(Target):
    """A train step to compile."""

    batch_size: int
    sequence_length: int
    compute: Compute
    optimizer: Optimizer

    @property
    def title(self) -> str:
        """Sizes and precision of the step."""
        rows = f"{self.batch_size} rows of {self.sequence_length}"
        return f"train step of {rows}, remat {self.compute.remat}, {self.compute.dtype}"

    @property
    def tokens(self) -> int:
        """Tokens of a step, on all devices."""
        return self.batch_size * self.sequence_length

    def kernel_seconds(self, kernels: int) -> float:
        """Least seconds of the attention kernels of a step, of which XLA has no estimate."""
        config = self.model
        flops = 6 * config.layers * config.heads * config.head_size * self.sequence_length
        return bool(kernels) * flops * self.tokens / self.devices / self.chip.peak_flops

    def mfu(self, seconds: float) -> float:
        """Model FLOPs utilization of a step, without rematerialization."""
        flops = self.model.flops_per_token(self.sequence_length) * self.tokens
        return flops / self.devices / self.chip.peak_flops / seconds

    def lower(self) -> Any:
        """Traces the step; see Target.lower."""
        mesh = sharding.make_mesh(self.mesh, self.devices_for())
        sizes = _RowSizes(self.model.vocab_size, self.sequence_length, self.batch_size)
        checks.check(sizes, self.model, self.compute, mesh)
        shapes, axes = model.abstract_params(self.model)
        sharding.report(shapes, axes, mesh)
        tx = optimizer.make(self.optimizer, steps=_STEPS, axes=axes)
        step = jit_step(self.model, tx, self.compute, mesh)
        train_state = state.abstract_state(
            self.model, tx, mesh, dtype=jnp.dtype(self.compute.param_dtype)
        )
        return step.lower(train_state, self._batch(mesh))

    def _batch(self, mesh: Mesh) -> Batch:
        placement = sharding.batch_sharding(mesh)
        shape = (self.batch_size, self.sequence_length)
        types = dict.fromkeys(Batch._fields, jnp.int32) | {"loss_weights": jnp.float32}
        arrays = {
            name: jax.ShapeDtypeStruct(shape, t, sharding=placement) for name, t in types.items()
        }
        return Batch(**arrays)
