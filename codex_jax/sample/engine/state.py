"""What lies on the device while sampling: resident prompts, jobs, rows, and their output."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from codex_jax import model
from codex_jax.sample.engine import prefix_attention

RUNNING, STOPPED, FULL = 0, 1, 2  # why a sample ended: a stop (or end of text), or its length

TOP = 5  # likeliest tokens that are told on request, as OpenAI's completions do


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes that are compiled in.

    Args:
      rows: Samples that run at a time (B).
      prompts: Prompts resident at a time (P).
      prefix: Longest prompt, in tokens.
      new: Most new tokens of a sample.
      tile: Rows that read a prompt together.
      group: Tiles that attend at a time.
      queue: Samples that can wait on the device.
      dtype: Of activations.
      weights: As a step reads them: a dtype, or "int8" with a scale for each output.
      cache: Keys and values: a dtype, or "int8" with a scale for each position and head.
    """

    rows: int
    prompts: int
    prefix: int
    new: int
    tile: int
    group: int
    queue: int
    dtype: str = "float32"
    weights: str = "float32"
    cache: str = "float32"

    @property
    def slots(self) -> int:
        """Places for output: what runs and what waits."""
        return self.rows + self.queue


class Prompts(NamedTuple):
    """Resident prompts, each stored once."""

    cache: prefix_attention.Cache
    length: Int[Array, "P"]  # tokens in the cache: all but the last
    last: Int[Array, "P"]
    hash: Int[Array, "P"]


class Jobs(NamedTuple):
    """What is asked of the sample at each slot; the host writes it, the rows look it up."""

    prompt: Int[Array, "O"]
    sample: Int[Array, "O"]
    seed: Int[Array, "O"]
    new: Int[Array, "O"]  # its most tokens
    stop: Int[Array, "O"]  # where its stop automaton starts
    temperature: Float[Array, "O"]
    top_k: Int[Array, "O"]
    min_p: Float[Array, "O"]
    top_p: Float[Array, "O"]


def no_jobs(slots: int) -> Jobs:
    """None, in arrays for the host to write into."""
    ints = {name: np.zeros(slots, np.int32) for name in Jobs._fields}
    floats = {name: np.zeros(slots, np.float32) for name in ("temperature", "min_p", "top_p")}
    return Jobs(**ints | floats | {"seed": np.zeros(slots, np.uint32)})


class Queue(NamedTuple):
    """Slots whose samples wait, from `head` to `tail`."""

    slot: Int[Array, "Q"]
    head: Int[Array, ""]
    tail: Int[Array, ""]


class Rows(NamedTuple):
    """What runs. `slot` is where a row's job and output lie; out of range where the row is idle."""

    cache: prefix_attention.Cache
    slot: Int[Array, "B"]
    length: Int[Array, "B"]
    token: Int[Array, "B"]
    stop: Int[Array, "B"]


class Output(NamedTuple):
    """Finished and half-finished samples."""

    tokens: Int[Array, "O N"]
    logprobs: Float[Array, "O N"]
    length: Int[Array, "O"]
    reason: Int[Array, "O"]
    top: Int[Array, "O N 5"]  # written where the loop runs with adjustments
    top_logprobs: Float[Array, "O N 5"]


class State(NamedTuple):
    """All that changes while decoding; donated to each call."""

    prompts: Prompts
    queue: Queue
    rows: Rows
    output: Output
    steps: Int[Array, ""]  # since the start
    busy: Int[Array, ""]  # rows × steps that worked


def start(config: model.DecoderConfig, shape: Shape) -> State:
    """Nothing resident, nothing running."""

    def zeros(*sizes, dtype=jnp.int32):
        return jnp.zeros(sizes, dtype)

    dtype = jnp.dtype(shape.cache)
    B, P, Q, N, out = shape.rows, shape.prompts, shape.queue, shape.new, shape.slots
    prefix = prefix_attention.empty(config, rows=P, slots=shape.prefix, dtype=dtype)
    suffix = prefix_attention.empty(config, rows=B, slots=N, dtype=dtype)
    return State(
        Prompts(prefix, zeros(P), zeros(P), zeros(P, dtype=jnp.uint32)),
        Queue(zeros(Q), zeros(), zeros()),
        Rows(suffix, zeros(B) + out, zeros(B), zeros(B), zeros(B)),
        Output(
            zeros(out, N),
            zeros(out, N, dtype=jnp.float32),
            zeros(out),
            zeros(out),
            zeros(out, N, TOP),
            zeros(out, N, TOP, dtype=jnp.float32),
        ),
        zeros(),
        zeros(),
    )
