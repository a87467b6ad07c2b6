"""The sampling loop, as something to compile for devices that aren't here."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codex_jax.compile.targets import Job
from codex_jax.sample.engine import shardings
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.decode import jit_decode
from codex_jax.sample.engine.engine import STOP_STATES
from codex_jax.sample.engine.state import EngineShape, LoopInputs, empty_inputs, init_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """The sampling loop that is compiled.

    Args:
      rows: Samples that run at a time, on all devices.
      samples: Samples of each prompt.
      longest: Tokens of the longest prompt.
      new: Most new tokens of a sample.
      weights: As they are kept: the compute dtype, unless "int8".
      cache: As keys and values are kept: the compute dtype, unless "int8".
    """

    rows: int = 128
    samples: int = 100
    longest: int = 512
    new: int = 512
    weights: str | None = None
    cache: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleJob(Job):
    """A step of the sampling loop: a token for each row.

    Attributes:
      dtype: of activations, and of weights and caches where sampling says nothing else.
    """

    sampling: Sampling
    dtype: str

    loops = True
    turns = "Sampling.rows, Sampling.new"

    @property
    def title(self) -> str:
        sizes, shape = self.sampling, self.shape
        return (
            f"sampling loop of {sizes.rows} rows, {sizes.samples} samples a prompt, prompts of "
            f"{sizes.longest} and {sizes.new} new tokens, {shape.dtype}, "
            f"weights {shape.weights_dtype}, cache {shape.kv_cache_dtype}"
        )

    @property
    def shape(self) -> EngineShape:
        wanted = self.sampling
        return plan(
            max_prompt_tokens=wanted.longest,
            samples_per_prompt=wanted.samples,
            rows=wanted.rows,
            max_new_tokens=wanted.new,
            dtype=self.dtype,
            weights_dtype=wanted.weights,
            kv_cache_dtype=wanted.cache,
            platform="tpu",
        )

    def bytes_read(self) -> tuple[int, int]:
        """(weights, caches at their longest) that a device must read in a step.

        Each prompt in work counts once on each of the devices that its samples lie on.
        """
        mesh, shape, config = self._mesh(), self.shape, self.model
        data = mesh.size // mesh.shape["tensor"]
        head = (
            config.head_size + 4
            if shape.kv_cache_dtype == "int8"
            else (config.head_size * jnp.dtype(shape.kv_cache_dtype).itemsize)
        )
        a_token = 2 * config.layers * config.kv_heads * head
        prompts = math.ceil(shape.rows / data / self.sampling.samples)
        positions = prompts * shape.max_prompt_tokens + shape.rows // data * shape.max_new_tokens
        params = shardings.decode_param_shapes(config, shape, mesh)
        if not config.tied:
            del params["embedding"]  # of which a row reads one line
        return sum(map(_part, jax.tree.leaves(params))), positions * a_token // mesh.shape["tensor"]

    def roofline(self) -> float:
        """Seconds in which a device's memory can hand over what a step reads."""
        return sum(self.bytes_read()) / self.chip.hbm_bandwidth

    def lower(self) -> Any:
        mesh = self._mesh()
        shape, config = self.shape, self.model
        places = shardings.state_shardings(config, shape, mesh)
        state = jax.tree.map(_place, jax.eval_shape(lambda: init_state(config, shape)), places)
        whole = NamedSharding(mesh, PartitionSpec())
        table = jax.ShapeDtypeStruct((STOP_STATES, config.vocab_size), jnp.int16, sharding=whole)
        work = jax.tree.map(lambda x: _place(x, whole), _loop_inputs(shape))
        params = shardings.decode_param_shapes(config, shape, mesh)
        return jit_decode(places).lower(config, shape, params, state, table, work)

    def _mesh(self) -> Mesh:
        return shardings.make_mesh(self.mesh, self.model, self.sampling.rows, devices=self.placed())


def _place(x: Any, where: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)


def _part(x: jax.ShapeDtypeStruct) -> int:
    """Bytes of it on one device."""
    return math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize


def _loop_inputs(shape: EngineShape) -> LoopInputs:
    """Shapes of the inputs to a call of the loop, without penalties."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), empty_inputs(shape))
