"""The sampling loop, to compile for a TPU topology that isn't attached."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codex_jax import ranges
from codex_jax.compile.targets import Target
from codex_jax.sample.engine import shardings
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.decode import jit_decode
from codex_jax.sample.engine.engine import STOP_STATES
from codex_jax.sample.engine.flat_cache import choose_kernel
from codex_jax.sample.engine.state import EngineShape, LoopInputs, empty_inputs, init_state

_SIZES = ("batch_size", "samples", "max_prompt_tokens", "max_new_tokens")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """Sizes of the sampling loop to compile.

    Args:
      batch_size: Samples that run at a time, on all devices.
      samples: Samples of each prompt.
      max_prompt_tokens: Tokens of the longest prompt.
      max_new_tokens: Most new tokens of a sample.
      weights_dtype: Type of the stored weights: the compute dtype if unset, or "int8".
      kv_cache_dtype: Type of the stored keys and values: likewise.
    """

    batch_size: int = 128
    samples: int = 100
    max_prompt_tokens: int = 512
    max_new_tokens: int = 512
    weights_dtype: str | None = None
    kv_cache_dtype: str | None = None

    def __post_init__(self) -> None:
        """Refuses sizes of nothing."""
        ranges.check("Sampling", self, dict.fromkeys(_SIZES, ranges.integer(1)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleTarget(Target):
    """A step of the sampling loop: a token for each row.

    Attributes:
      dtype: of activations, and of weights and caches unless sampling sets theirs.
    """

    sampling: Sampling
    dtype: str

    is_loop = True
    tunables = "Sampling.batch_size, Sampling.max_new_tokens"

    @property
    def title(self) -> str:
        """Sizes and dtypes of the loop."""
        sizes, shape = self.sampling, self.shape
        return (
            f"sampling loop of {sizes.batch_size} rows, {sizes.samples} samples a prompt, "
            f"prompts of {sizes.max_prompt_tokens} and {sizes.max_new_tokens} new tokens, "
            f"{shape.dtype}, weights {shape.weights_dtype}, cache {shape.kv_cache_dtype}"
        )

    @property
    def shape(self) -> EngineShape:
        """Capacities of the engine."""
        sampling = self.sampling
        return plan(
            max_prompt_tokens=sampling.max_prompt_tokens,
            samples_per_prompt=sampling.samples,
            rows=sampling.batch_size,
            max_new_tokens=sampling.max_new_tokens,
            dtype=self.dtype,
            weights_dtype=sampling.weights_dtype,
            kv_cache_dtype=sampling.kv_cache_dtype,
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
        """Least seconds in which a device can read a step's weights and caches from its memory."""
        return sum(self.bytes_read()) / self.chip.hbm_bandwidth

    def lower(self) -> Any:
        """Traces the loop; see Target.lower."""
        mesh, config = self._mesh(), self.model
        shape = self._shape_with_kernel(mesh)
        state_shardings = shardings.state_shardings(config, shape, mesh)
        state = jax.tree.map(
            _with_sharding, jax.eval_shape(lambda: init_state(config, shape)), state_shardings
        )
        replicated = NamedSharding(mesh, PartitionSpec())
        table = jax.ShapeDtypeStruct(
            (STOP_STATES, config.vocab_size), jnp.int16, sharding=replicated
        )
        work = jax.tree.map(lambda x: _with_sharding(x, replicated), _loop_inputs(shape))
        params = shardings.decode_param_shapes(config, shape, mesh)
        return jit_decode(state_shardings).lower(config, shape, params, state, table, work)

    def _shape_with_kernel(self, mesh: Mesh) -> EngineShape:
        shape = self.shape
        kernel = choose_kernel(self.model, shape.dtype, shape.kv_cache_dtype, mesh)
        return dataclasses.replace(shape, flat_cache=kernel)

    def _mesh(self) -> Mesh:
        return shardings.make_mesh(
            self.mesh, self.model, self.sampling.batch_size, devices=self.devices_for()
        )


def _with_sharding(x: Any, where: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)


def _part(x: jax.ShapeDtypeStruct) -> int:
    """Bytes of it on one device."""
    return math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize


def _loop_inputs(shape: EngineShape) -> LoopInputs:
    """Shapes of the inputs to a call of the loop, without penalties."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), empty_inputs(shape))
