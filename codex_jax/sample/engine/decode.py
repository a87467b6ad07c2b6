"""The compiled loop: rows that sample, and refill themselves from a queue on the device.

A row works on one sample of one resident prompt. The prompt's cache lies outside the row, so when
a sample ends, the row takes the next one of the queue within the loop by changing a few numbers.
The last token of a prompt is kept out of its cache and fed as the row's first input. What is asked
of a sample (policy, seed, length, stops) is looked up at its slot, so that requests of all kinds
run side by side.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from codex_jax import model
from codex_jax.sample.engine import prefix_attention
from codex_jax.sample.engine.state import FULL, RUNNING, STOPPED, TOP, Jobs, Queue, Shape, State
from codex_jax.sample.sampling.params import Adjustments, Knobs, adjust, choose, logprob, sample_key
from codex_jax.sample.sampling.stop_strings import FOUND


class Work(NamedTuple):
    """What the host gives to a call of the loop; the sizes of its arrays stand.

    `adjustments` is None where nothing running asks for any, nor for likely tokens: the loop is
    compiled once with them and once without.
    """

    jobs: Jobs
    queue: Queue
    dropped: Bool[Array, "O"]  # slots whose samples end at once, or are new and unfinished
    steps: Int[Array, ""]  # of this call, at most
    eager: Bool[Array, ""]  # return as soon as nothing waits although rows run
    adjustments: Adjustments | None = None


def _begin(state: State, work: Work) -> State:
    """A new queue in place of the old one; dropped slots free, their outputs unfinished."""
    rows, output = state.rows, state.output
    dropped = work.dropped.at[rows.slot].get(mode="fill", fill_value=False)
    slot = jnp.where(dropped, len(output.reason), rows.slot)
    reason = jnp.where(work.dropped, RUNNING, output.reason)
    length = jnp.where(work.dropped, 0, output.length)
    return state._replace(
        rows=rows._replace(slot=slot, length=jnp.where(dropped, 0, rows.length)),
        output=output._replace(reason=reason, length=length),
        queue=work.queue,
    )


def _refill(state: State, jobs: Jobs) -> State:
    """Idle rows take what waits, in order."""
    rows, queue, output = state.rows, state.queue, state.output
    idle = rows.slot >= len(output.reason)
    index = queue.head + jnp.cumsum(idle) - 1
    takes = idle & (index < queue.tail)
    slot = jnp.where(takes, queue.slot.at[index].get(mode="clip"), rows.slot)
    last = state.prompts.last[jobs.prompt.at[slot].get(mode="clip")]
    rows = rows._replace(
        slot=slot,
        length=jnp.where(takes, 0, rows.length),
        token=jnp.where(takes, last, rows.token),
        stop=jnp.where(takes, jobs.stop.at[slot].get(mode="clip"), rows.stop),
    )
    return state._replace(rows=rows, queue=queue._replace(head=queue.head + takes.sum()))


def _likely(state: State, logits) -> State:
    """Writes each row's likeliest tokens."""
    rows, output = state.rows, state.output
    values, tokens = jax.lax.top_k(logits, TOP)
    values = values - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    at = rows.slot, rows.length
    output = output._replace(
        top=output.top.at[at].set(tokens, mode="drop"),
        top_logprobs=output.top_logprobs.at[at].set(values, mode="drop"),
    )
    return state._replace(output=output)


def _record(state: State, tokens, logprobs, stop, reason) -> State:
    """Writes what the rows said, and sets those free that ended."""
    rows, output = state.rows, state.output
    at = rows.slot, rows.length
    output = output._replace(
        tokens=output.tokens.at[at].set(tokens, mode="drop"),
        logprobs=output.logprobs.at[at].set(logprobs, mode="drop"),
        length=output.length.at[rows.slot].set(rows.length + 1, mode="drop"),
        reason=output.reason.at[rows.slot].set(reason, mode="drop"),
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


def _logits(config, shape: Shape, params, state: State, jobs: Jobs):
    """(state with the new keys and values, logits) of one token a row."""
    rows, prompts = state.rows, state.prompts
    live = rows.slot < shape.slots
    tiles = prefix_attention.arrange(jobs.prompt, live, prompts.length, shape.tile)
    attend = prefix_attention.shared_prefix_attention(tiles, group=shape.group, length=rows.length)
    positions = prompts.length[jobs.prompt] + rows.length
    hidden, cache = model.forward(
        config,
        params,
        rows.token[:, None],
        positions[:, None],
        attend,
        list(zip(prompts.cache, rows.cache, strict=True)),
        dtype=jnp.dtype(shape.dtype),
        wrap_block=prefix_attention.traced_once,
        scan=False,
    )
    state = state._replace(rows=rows._replace(cache=tuple(cache)))
    return state, model.unembed(config, params, hidden[:, 0])


def _drawn(state: State, jobs: Jobs, logits, adjustments: Adjustments | None):
    """(state, tokens): with adjustments, likely tokens are noted on the way."""
    rows = state.rows
    raw = jax.lax.optimization_barrier(logits)  # both variants then draw by the same code
    if adjustments is not None:
        state = _likely(state, raw)
        said = state.output.tokens.at[rows.slot].get(mode="clip")
        valid = jnp.arange(said.shape[1]) < rows.length[:, None]
        raw = jax.lax.optimization_barrier(adjust(raw, said, valid, adjustments))
    keys = sample_key(jobs.seed, state.prompts.hash[jobs.prompt], jobs.sample, rows.length)
    return state, choose(raw, keys, Knobs(jobs.temperature, jobs.top_k, jobs.min_p, jobs.top_p))


def decode(
    config: model.DecoderConfig,
    shape: Shape,
    params: model.Params,
    state: State,
    table: Int[Array, "A V"],
    work: Work,
) -> State:
    """Up to `work.steps` steps; every row makes one token a step.

    Args:
      table: stop automata, as `stops.Automata` lays them out.
    """
    state = _begin(state, work)
    end = state.steps + work.steps

    def goes_on(state):
        waits = state.queue.head < state.queue.tail
        runs = (state.rows.slot < shape.slots).any()
        return (state.steps < end) & (waits | (runs & ~work.eager))

    def step(state):
        state = _refill(state, work.jobs)
        rows = state.rows

        def of_rows(x):
            return x.at[rows.slot].get(mode="clip")

        jobs, adjustments = jax.tree.map(of_rows, (work.jobs, work.adjustments))
        live = rows.slot < shape.slots
        state, logits = _logits(config, shape, params, state, jobs)
        state, tokens = _drawn(state, jobs, logits, adjustments)
        stop = table[rows.stop, tokens].astype(jnp.int32)
        full = jnp.where(rows.length + 1 >= jobs.new, FULL, RUNNING)
        reason = jnp.where(live, jnp.where(stop == FOUND, STOPPED, full), RUNNING)
        return _record(state, tokens, logprob(logits, tokens), stop, reason)

    return jax.lax.while_loop(goes_on, step, state)


def jitted(places: State):
    """`decode`, compiled for a state that lies at `places` and is donated to each call."""
    return jax.jit(decode, static_argnums=(0, 1), donate_argnums=3, out_shardings=places)
