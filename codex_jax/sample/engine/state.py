"""Arrays on the device while sampling: prompts, the queue of samples, rows, and their output."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, UInt

from codex_jax import model
from codex_jax.sample.engine import flat_cache, kv_cache
from codex_jax.sample.sampling.params import LogitAdjustments

# Finish reasons of a sample: none yet, a stop string or end of text, its length.
RUNNING, STOPPED, FULL = 0, 1, 2

TOP_LOGPROBS = 5  # likeliest tokens returned on request, as in OpenAI's completions


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineShape:
    """Sizes and dtypes that are compiled in.

    Args:
      rows: Samples that run at a time (B).
      resident_prompts: Prompts on the device at a time (P).
      max_prompt_tokens: Longest prompt.
      max_new_tokens: Most new tokens of a sample.
      tile: Rows that read a prompt together.
      group: Tiles that attend at a time.
      queue: Samples that can wait on the device.
      dtype: Of activations.
      weights_dtype: As a step reads weights: a dtype, or "int8" with a scale for each output.
      kv_cache_dtype: Of keys and values: a dtype, or "int8" with a scale for each position and
        head.
      flat_cache: The kernel, "gpu" or "tpu", for which keys and values are one array a layer.
      healing: Whether samples may spell the tails of their prompts first.
      spare_tokens: Space for that beyond `max_new_tokens`.
    """

    rows: int
    resident_prompts: int
    max_prompt_tokens: int
    max_new_tokens: int
    tile: int
    group: int
    queue: int
    dtype: str = "float32"
    weights_dtype: str = "float32"
    kv_cache_dtype: str = "float32"
    flat_cache: str = ""
    healing: bool = False
    spare_tokens: int = 0

    @property
    def positions(self) -> int:
        """Most tokens of a sample, with those that spell the tail of its prompt."""
        return self.max_new_tokens + self.spare_tokens

    @property
    def output_slots(self) -> int:
        """Samples with space for their output: running and waiting."""
        return self.rows + self.queue


class Prompts(NamedTuple):
    """Resident prompts, each stored once."""

    cache: kv_cache.Cache | tuple[flat_cache.FlatLayer, ...]
    length: Int[Array, "P"]  # tokens in the cache: all but the last
    last: Int[Array, "P"]
    hash: UInt[Array, "P"]


class SlotParams(NamedTuple):
    """Parameters of the sample in each output slot; the host writes them, the rows read them."""

    prompt: Int[Array, "O"]
    sample_index: Int[Array, "O"]
    seed: UInt[Array, "O"]
    max_new_tokens: Int[Array, "O"]
    stop_state: Int[Array, "O"]  # start of its stop automaton
    tail: Int[Array, "O"]  # bytes of the prompt to spell first, which have a state each
    temperature: Float[Array, "O"]
    top_k: Int[Array, "O"]
    min_p: Float[Array, "O"]
    top_p: Float[Array, "O"]


def empty_slot_params(slots: int) -> SlotParams:
    """Parameters of no samples, as NumPy arrays that the host writes into."""
    dtypes = {"seed": np.uint32} | dict.fromkeys(("temperature", "min_p", "top_p"), np.float32)
    names = SlotParams._fields
    return SlotParams._make(np.zeros(slots, dtypes.get(name, np.int32)) for name in names)


class Queue(NamedTuple):
    """Slots whose samples wait, from `head` to `tail`."""

    slot: Int[Array, "Q"]
    head: Int[Array, ""]
    tail: Int[Array, ""]


class LoopInputs(NamedTuple):
    """The host's inputs to a call of the loop, of constant sizes.

    `adjustments` is None if no running sample has penalties, biases or top log-probabilities: the
    loop is compiled once with them and once without.
    """

    params: SlotParams
    queue: Queue
    dropped: Bool[Array, "O"]  # slots whose samples end at once, or are new and unfinished
    steps: Int[Array, ""]  # most steps of this call
    eager: Bool[Array, ""]  # return once the queue is empty although rows are running
    adjustments: LogitAdjustments | None = None


def empty_inputs(shape: EngineShape) -> LoopInputs:
    """Inputs of a call without samples, as NumPy arrays."""
    queue = Queue._make((np.zeros(shape.queue, np.int32), np.int32(0), np.int32(0)))
    params = empty_slot_params(shape.output_slots)
    dropped = np.zeros(shape.output_slots, bool)
    return LoopInputs._make((params, queue, dropped, np.int32(0), np.bool_(False), None))


class HealingRows(NamedTuple):
    """Progress of each row through its prompt's tail."""

    hidden: Int[Array, "B"]  # tokens that end within the tail
    attempt: Int[Array, "B"]  # times that the sample has begun anew


class ActiveRows(NamedTuple):
    """Running samples. `slot` is the index of a row's parameters and output, O for an idle row."""

    cache: kv_cache.Cache | tuple[flat_cache.FlatLayer, ...]
    slot: Int[Array, "B"]
    length: Int[Array, "B"]
    token: Int[Array, "B"]
    stop_state: Int[Array, "B"]
    healing: HealingRows | None = None


class Output(NamedTuple):
    """Finished and unfinished samples."""

    tokens: Int[Array, "O N"]
    logprobs: Float[Array, "O N"]
    length: Int[Array, "O"]
    finish_reason: Int[Array, "O"]
    top_tokens: Int[Array, "O N 5"]  # written if the loop runs with adjustments
    top_logprobs: Float[Array, "O N 5"]


class State(NamedTuple):
    """Everything that changes while decoding; donated to each call."""

    prompts: Prompts
    queue: Queue
    rows: ActiveRows
    output: Output
    steps: Int[Array, ""]  # since the start
    busy: Int[Array, ""]  # rows × steps that sampled


def init_state(config: model.DecoderConfig, shape: EngineShape) -> State:
    """State without prompts and samples."""

    def zeros(*sizes: int, dtype: DTypeLike = jnp.int32) -> Array:
        return jnp.zeros(sizes, dtype)

    dtype = jnp.dtype(shape.kv_cache_dtype)
    B, P, N, slots = shape.rows, shape.resident_prompts, shape.positions, shape.output_slots
    positions = shape.max_prompt_tokens
    empty_cache = flat_cache.empty_cache if shape.flat_cache else kv_cache.empty_cache
    prefix = empty_cache(config, rows=P, positions=positions, dtype=dtype)
    suffix = empty_cache(config, rows=B, positions=N, dtype=dtype)
    healing = HealingRows(zeros(B), zeros(B)) if shape.healing else None
    return State(
        Prompts(prefix, zeros(P), zeros(P), zeros(P, dtype=jnp.uint32)),
        Queue(zeros(shape.queue), zeros(), zeros()),
        ActiveRows(suffix, zeros(B) + slots, zeros(B), zeros(B), zeros(B), healing),
        Output(
            zeros(slots, N),
            zeros(slots, N, dtype=jnp.float32),
            zeros(slots),
            zeros(slots),
            zeros(slots, N, TOP_LOGPROBS),
            zeros(slots, N, TOP_LOGPROBS, dtype=jnp.float32),
        ),
        zeros(),
        zeros(),
    )
