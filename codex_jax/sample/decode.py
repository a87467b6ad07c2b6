"""The compiled loop: rows that sample, and refill themselves from a queue on the device.

A row works on one sample of one resident prompt. The prompt's cache lies outside the row, so when
a sample ends, the row takes the next one of the queue within the loop by changing a few numbers.
The last token of a prompt is kept out of its cache and fed as the row's first input.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from codex_jax import model
from codex_jax.sample import attention
from codex_jax.sample.policy import Knobs, choose, sample_key
from codex_jax.sample.stops import FOUND

RUNNING, STOPPED, FULL = 0, 1, 2  # why a sample ended: a stop (or end of text), or its length


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes that are compiled in.

    Args:
      rows: Samples that run at a time (B).
      prompts: Prompts resident at a time (P).
      prefix: Longest prompt, in tokens.
      new: Most new tokens of a sample.
      tile: Rows that read a prompt together.
      queue: Samples that can wait on the device.
      top_k: As in Policy; 0 is none.
      dtype: Of activations and caches.
    """

    rows: int
    prompts: int
    prefix: int
    new: int
    tile: int
    queue: int
    top_k: int = 0
    dtype: str = "float32"

    @property
    def slots(self) -> int:
        """Places for output: what runs and what waits."""
        return self.rows + self.queue


class Prompts(NamedTuple):
    """Resident prompts, each stored once."""

    cache: attention.Cache
    length: Int[Array, "P"]  # tokens in the cache: all but the last
    last: Int[Array, "P"]
    hash: Int[Array, "P"]


class Queue(NamedTuple):
    """Samples that wait, from `head` to `tail`."""

    prompt: Int[Array, "Q"]
    sample: Int[Array, "Q"]
    slot: Int[Array, "Q"]
    head: Int[Array, ""]
    tail: Int[Array, ""]


class Rows(NamedTuple):
    """What runs. `slot` is where a row's output goes; out of range where the row is idle."""

    cache: attention.Cache
    prompt: Int[Array, "B"]
    sample: Int[Array, "B"]
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

    def zeros(*sizes):
        return jnp.zeros(sizes, jnp.int32)

    dtype = jnp.dtype(shape.dtype)
    B, P, Q, out = shape.rows, shape.prompts, shape.queue, shape.slots
    prefix = attention.empty(config, rows=P, slots=shape.prefix, dtype=dtype)
    suffix = attention.empty(config, rows=B, slots=shape.new, dtype=dtype)
    return State(
        Prompts(prefix, zeros(P), zeros(P), jnp.zeros(P, jnp.uint32)),
        Queue(zeros(Q), zeros(Q), zeros(Q), zeros(), zeros()),
        Rows(suffix, zeros(B), zeros(B), zeros(B) + out, zeros(B), zeros(B), zeros(B)),
        Output(zeros(out, shape.new), jnp.zeros((out, shape.new)), zeros(out), zeros(out)),
        zeros(),
        zeros(),
    )


@functools.partial(jax.jit, static_argnames=("config", "dtype"))
def prefill(config, params, tokens: Int[Array, "1 T"], length: Int[Array, ""], *, dtype: str):
    """Keys and values of one prompt, right-padded to a bucket: two tuples of (K, T, H).

    A prompt is prefilled alone, in a bucket that its own length chooses, so that its cache
    depends on nothing else.
    """
    positions = jnp.arange(tokens.shape[1])[None]
    seen = (positions < length).astype(jnp.int32)
    attend = model.attention.packed_attention(seen)

    def keeping(q, k, v, cache, layer):
        out, _ = attend(q, k, v, None, layer)
        return out, (*cache, (k[0].swapaxes(0, 1), v[0].swapaxes(0, 1)))

    _, cache = model.forward(
        config, params, tokens, positions, keeping, (), dtype=jnp.dtype(dtype), scan=False
    )
    return tuple(zip(*cache, strict=True))


def admit(state: State, place, keys_and_values, length, last, prompt_hash) -> State:
    """Makes a prefilled prompt resident at `place`."""
    prompts = state.prompts

    def put(blocks, new):
        borders = attention.borders(new.shape[1])
        here = [
            jax.lax.dynamic_update_slice(
                block, new[None, :, first:last].astype(block.dtype), (place, 0, 0, 0)
            )
            for block, (first, last) in zip(blocks, borders, strict=False)
        ]
        return (*here, *blocks[len(here) :])

    cache = attention.Cache(
        *(
            tuple(put(blocks, layer) for blocks, layer in zip(old, new, strict=True))
            for old, new in zip(prompts.cache, keys_and_values, strict=True)
        )
    )
    prompts = Prompts(
        cache,
        prompts.length.at[place].set(length),
        prompts.last.at[place].set(last),
        prompts.hash.at[place].set(prompt_hash),
    )
    return state._replace(prompts=prompts)


def enqueue(state: State, queue: Queue) -> State:
    """A new queue in place of the old one; the outputs that it will write are marked unfinished."""
    waiting = jnp.arange(len(queue.slot)) < queue.tail
    slot = jnp.where(waiting, queue.slot, len(state.output.reason))
    reason = state.output.reason.at[slot].set(RUNNING, mode="drop")
    return state._replace(queue=queue, output=state.output._replace(reason=reason))


def _refill(state: State) -> State:
    """Idle rows take what waits, in order."""
    rows, queue, output = state.rows, state.queue, state.output
    idle = rows.slot >= len(output.reason)
    index = queue.head + jnp.cumsum(idle) - 1
    takes = idle & (index < queue.tail)

    def taken(waiting, old):
        return jnp.where(takes, waiting.at[index].get(mode="clip"), old)

    prompt = taken(queue.prompt, rows.prompt)
    rows = rows._replace(
        prompt=prompt,
        sample=taken(queue.sample, rows.sample),
        slot=taken(queue.slot, rows.slot),
        length=jnp.where(takes, 0, rows.length),
        token=jnp.where(takes, state.prompts.last[prompt], rows.token),
        stop=jnp.where(takes, 0, rows.stop),
    )
    return state._replace(rows=rows, queue=queue._replace(head=queue.head + takes.sum()))


def _record(state: State, tokens, logprobs, stop, reason) -> State:
    """Writes what the rows said, and sets those free that ended."""
    rows, output = state.rows, state.output
    at = rows.slot, rows.length
    output = Output(
        output.tokens.at[at].set(tokens, mode="drop"),
        output.logprobs.at[at].set(logprobs, mode="drop"),
        output.length.at[rows.slot].set(rows.length + 1, mode="drop"),
        output.reason.at[rows.slot].set(reason, mode="drop"),
    )
    live = rows.slot < len(output.reason)
    ended = reason != RUNNING
    goes_on = live & ~ended
    rows = rows._replace(
        slot=jnp.where(ended, len(output.reason), rows.slot),
        length=jnp.where(goes_on, rows.length + 1, 0),
        token=jnp.where(goes_on, tokens, rows.token),
        stop=stop,
    )
    busy = state.busy + live.sum()
    return state._replace(rows=rows, output=output, steps=state.steps + 1, busy=busy)


def decode(
    config: model.DecoderConfig,
    shape: Shape,
    params: model.Params,
    state: State,
    table: Int[Array, "A V"],
    knobs: Knobs,
    seed: Int[Array, ""],
    limits: Int[Array, "3"],
) -> State:
    """Up to `limits[0]` steps; every row makes one token a step.

    Args:
      table: the stop automaton of `stops.stop_table`.
      limits: steps of this call; new tokens of a sample; 1 where to return as soon as nothing
        waits although rows run (there is more to enqueue), else 0.
    """
    end = state.steps + limits[0]

    def goes_on(state):
        waits = state.queue.head < state.queue.tail
        runs = (state.rows.slot < shape.slots).any()
        return (state.steps < end) & (waits | (runs & (limits[2] == 0)))

    def step(state):
        state = _refill(state)
        rows, prompts = state.rows, state.prompts
        live = rows.slot < shape.slots
        tiles = attention.arrange(rows.prompt, live, shape.prompts, shape.tile)
        attend = attention.shared_prefix_attention(
            prompts.cache, prompts.length, tiles, shape.tile, rows.length
        )
        positions = prompts.length[rows.prompt] + rows.length
        hidden, cache = model.forward(
            config,
            params,
            rows.token[:, None],
            positions[:, None],
            attend,
            rows.cache,
            dtype=jnp.dtype(shape.dtype),
            scan=False,
        )
        logits = model.unembed(config, params, hidden[:, 0])
        keys = sample_key(seed, prompts.hash[rows.prompt], rows.sample, rows.length)
        tokens, logprobs = choose(logits, keys, knobs, top_k=shape.top_k)
        stop = table[rows.stop, tokens].astype(jnp.int32)
        full = jnp.where(rows.length + 1 >= limits[1], FULL, RUNNING)
        reason = jnp.where(stop == FOUND, STOPPED, full)
        state = state._replace(rows=rows._replace(cache=cache))
        return _record(state, tokens, logprobs, stop, jnp.where(live, reason, RUNNING))

    return jax.lax.while_loop(goes_on, step, state)
