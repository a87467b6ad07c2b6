"""Programs to compile for a TPU topology that isn't attached."""

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
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
class Pod(abc.ABC):
    """A topology, and the model and mesh that one or several programs have on it."""

    topology: str
    slices: int
    model: DecoderConfig
    mesh: MeshShape

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
        """The program or programs, in a line of the report."""

    def devices_for(self) -> list[Any]:
        """The topology's devices.

        Raises:
          InputError: an unknown topology, no libtpu.
        """
        return topology.devices(self.topology, slices=self.slices)


class Target(Pod):
    """A program on a pod, with every setting that the compiled program depends on."""

    is_loop = False  # whether a step is an iteration of the program's loop

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
        step = self._jit(tx, mesh)
        train_state = state.abstract_state(
            self.model, tx, mesh, dtype=jnp.dtype(self.compute.param_dtype)
        )
        return step.lower(train_state, self._batch(mesh))

    def _jit(self, tx: optax.GradientTransformation, mesh: Mesh) -> Any:
        """The compiled step: (state, batch) → (state, metrics)."""
        return jit_step(self.model, tx, self.compute, mesh)

    def _batch(self, mesh: Mesh) -> Any:
        """Shapes of a batch."""
        return self._columns(Batch, mesh, floats=("loss_weights",))

    def _columns(self, batch: Any, mesh: Mesh, *, floats: Sequence[str]) -> Any:
        """Shapes of a named tuple of (B, T) arrays, int32 but for those named as float32."""
        placement = sharding.batch_sharding(mesh)
        shape = (self.batch_size, self.sequence_length)
        types = dict.fromkeys(batch._fields, jnp.int32) | dict.fromkeys(floats, jnp.float32)
        arrays = {
            name: jax.ShapeDtypeStruct(shape, t, sharding=placement) for name, t in types.items()
        }
        return batch(**arrays)
