"""The programs of a batch of policy gradients: policy and sampler, on one mesh.

They run one after another, and what they leave in memory stays there: the trainer's state, and the
sampler's weights and caches. So a device needs all of that, and the temporaries of one program.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codex_jax import InputError, ranges
from codex_jax.compile.sampling_target import SampleTarget, Sampling
from codex_jax.compile.targets import Pod, Target, TrainTarget
from codex_jax.sample.engine import shardings
from codex_jax.sample.engine.capacity import bucket
from codex_jax.sample.engine.prefill import prefill
from codex_jax.train import state
from codex_jax.train.compute import Compute
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.policy_loss import PolicyBatch
from codex_jax.train.policy_step import jit_policy_step

_MULTIPLE = 128  # of the tokens of a row, as in `rl`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """Sizes of a batch of policy gradients; Sampling has those of its samples.

    Args:
      prompts_per_batch: Prompts of a batch, which learns from Sampling.samples of each.
    """

    prompts_per_batch: int = 64

    def __post_init__(self) -> None:
        """Refuses a batch of nothing."""
        ranges.check("Policy", self, {"prompts_per_batch": ranges.integer(1)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyTarget(TrainTarget):
    """The optimizer step on samples and their advantages, as `rl` takes it.

    Attributes:
      max_new_tokens: of a sample, which the loss is divided by.
    """

    max_new_tokens: int

    @property
    def title(self) -> str:
        """Sizes and precision of the step."""
        return super().title.replace("train step", "gradient step", 1)

    def _jit(self, tx: optax.GradientTransformation, mesh: Mesh) -> Any:
        count = float(self.batch_size * self.max_new_tokens)
        return jit_policy_step(self.model, tx, self.compute, mesh, count=count)

    def _batch(self, mesh: Mesh) -> PolicyBatch:
        return self._columns(PolicyBatch, mesh, floats=("advantages", "is_sampled", "logprobs"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HandOverTarget(SampleTarget):
    """The compiled call by which the sampler takes the trainer's weights.

    Attributes:
      param_dtype: of the trainer's weights.
    """

    param_dtype: str
    is_loop = False

    @property
    def title(self) -> str:
        """Dtypes of both."""
        return f"weights handed over, {self.param_dtype} to {self.shape.weights_dtype}"

    def lower(self) -> Any:
        """Traces the call; see Target.lower."""
        mesh = self._mesh()
        params = state.abstract_params(self.model, mesh, dtype=jnp.dtype(self.param_dtype))
        shapes = shardings.decode_param_shapes(self.model, self.shape, mesh)
        return shardings.jit_to_decode_params(self.shape, shapes).lower(params)


class PrefillTarget(SampleTarget):
    """A prompt's keys and values, computed by the sampler's weights."""

    is_loop = False

    @property
    def title(self) -> str:
        """Length of the prompt."""
        return f"a prompt of {self.shape.max_prompt_tokens} tokens, {self.shape.dtype}"

    def lower(self) -> Any:
        """Traces the call; see Target.lower."""
        mesh, shape = self._mesh(), self.shape
        params = shardings.decode_param_shapes(self.model, shape, mesh)
        replicated = NamedSharding(mesh, PartitionSpec())
        tokens, length = (
            jax.ShapeDtypeStruct(size, jnp.int32, sharding=replicated)
            for size in ((1, bucket(shape.max_prompt_tokens)), ())
        )
        dtypes = {"dtype": shape.dtype, "cache_dtype": shape.kv_cache_dtype}
        return prefill.lower(self.model, params, tokens, length, **dtypes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointTarget(Pod):
    """All programs of a batch."""

    policy: Policy
    sampling: Sampling
    compute: Compute
    optimizer: Optimizer

    tunables = "Sampling.batch_size, Compute.microbatches, Compute.remat, Compute.loss_chunks"

    @property
    def title(self) -> str:
        """Sizes of the batch."""
        prompts, samples = self.policy.prompts_per_batch, self.sampling.samples
        return f"policy gradients of {prompts} prompts × {samples} samples"

    @property
    def rows(self) -> int:
        """Samples of a batch."""
        return self.policy.prompts_per_batch * self.sampling.samples

    @property
    def sequence_length(self) -> int:
        """Tokens of a row with a prompt and its sample."""
        longest = self.sampling.max_prompt_tokens + self.sampling.max_new_tokens - 1
        return -(-longest // _MULTIPLE) * _MULTIPLE

    @property
    def calls(self) -> dict[str, int]:
        """Program → times that a batch runs it, with samples at their longest."""
        rounds = math.ceil(self.rows / self.sampling.batch_size)
        sampling = rounds * self.sampling.max_new_tokens
        prompts = self.policy.prompts_per_batch
        return {"prefill": prompts, "sampling": sampling, "gradient step": 1, "handing over": 1}

    def parts(self) -> dict[str, Target]:
        """Name → program.

        Raises:
          InputError: sizes below 1, or settings that a batch of samples doesn't have.
        """
        self._check()
        pod: dict[str, Any] = {"topology": self.topology, "slices": self.slices}
        pod |= {"model": self.model, "mesh": self.mesh}
        sampler = pod | {"sampling": self.sampling, "dtype": self.compute.dtype}
        step = PolicyTarget(
            **pod,
            batch_size=self.rows,
            sequence_length=self.sequence_length,
            compute=self.compute,
            optimizer=self.optimizer,
            max_new_tokens=self.sampling.max_new_tokens,
        )
        return {
            "prefill": PrefillTarget(**sampler),
            "sampling": SampleTarget(**sampler),
            "gradient step": step,
            "handing over": HandOverTarget(**sampler, param_dtype=self.compute.param_dtype),
        }

    def _check(self) -> None:
        ranges.check("Sampling", self.sampling, {"samples": ranges.integer(2)})
        if self.mesh.context != 1:
            raise InputError(
                f"MeshShape.context is {self.mesh.context}; set it to 1: samples are too short to "
                "be split"
            )
        if self.compute.z_loss:
            raise InputError(
                "Compute.z_loss is set; set it to 0: a policy gradient has no such term"
            )
