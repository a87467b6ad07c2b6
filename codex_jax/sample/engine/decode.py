"""The compiled loop: rows that sample, and refill themselves from a queue on the device.

A row works on one sample of one resident prompt. The prompt's cache is shared between rows, so when
a sample ends, the row starts the next one of the queue within the loop by changing a few numbers.
The last token of a prompt is not in its cache but is the row's first input. A sample's parameters
(temperature, seed, length, stops) are looked up by its slot, so that different requests run in
parallel.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Int16

from codex_jax import model
from codex_jax.model.attention.core import Attend
from codex_jax.sample.engine import flat_cache, healing, prefix_attention
from codex_jax.sample.engine.state import (
    FULL,
    RUNNING,
    STOPPED,
    TOP_LOGPROBS,
    EngineShape,
    LoopInputs,
    SlotParams,
    State,
)
from codex_jax.sample.sampling.draw import apply_adjustments, logprob, sample_key, sample_token
from codex_jax.sample.sampling.params import LogitAdjustments, SamplingArrays
from codex_jax.sample.sampling.stop_strings import STOPPED_STATE

_GPU_DRAWS = 2  # of a token before the loop of draws, whose condition costs as much as one
_CUDA_OPTIONS_OF = (0, 11, 2), (0, 12)  # jax from, and before, which has them
_CUDA_OPTIONS: dict[str, str | bool] = {
    "xla_gpu_enable_command_buffer": "WHILE,CONDITIONAL,FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,"
    "DYNAMIC_SLICE_FUSION",
    "xla_gpu_enable_pdl": True,
    "xla_gpu_enable_pdl_launch": True,
}


def _apply_inputs(state: State, inputs: LoopInputs) -> State:
    """Replaces the queue, idles the rows of dropped slots, and resets those slots' output."""
    rows, output = state.rows, state.output
    is_dropped = inputs.dropped.at[rows.slot].get(mode="fill", fill_value=False)
    slot = jnp.where(is_dropped, len(output.finish_reason), rows.slot)
    finish_reason = jnp.where(inputs.dropped, RUNNING, output.finish_reason)
    length = jnp.where(inputs.dropped, 0, output.length)
    return state._replace(
        rows=rows._replace(slot=slot, length=jnp.where(is_dropped, 0, rows.length)),
        output=output._replace(finish_reason=finish_reason, length=length),
        queue=inputs.queue,
    )


def _refill(state: State, params: SlotParams) -> State:
    """Starts waiting samples in idle rows, in order."""
    rows, queue, output = state.rows, state.queue, state.output
    idle = rows.slot >= len(output.finish_reason)
    index = queue.head + jnp.cumsum(idle) - 1
    starts = idle & (index < queue.tail)
    slot = jnp.where(starts, queue.slot.at[index].get(mode="clip"), rows.slot)
    last = state.prompts.last[params.prompt.at[slot].get(mode="clip")]
    stop_state = params.stop_state.at[slot].get(mode="clip")
    rows = rows._replace(
        slot=slot,
        length=jnp.where(starts, 0, rows.length),
        token=jnp.where(starts, last, rows.token),
        stop_state=jnp.where(starts, stop_state, rows.stop_state),
        healing=healing.start(rows.healing, starts),
    )
    return state._replace(rows=rows, queue=queue._replace(head=queue.head + starts.sum()))


def _record_top_logprobs(state: State, logits: Float[Array, "B V"]) -> State:
    """Writes each row's likeliest tokens to the output."""
    rows, output = state.rows, state.output
    values, tokens = jax.lax.top_k(logits, TOP_LOGPROBS)
    values = values - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    at = rows.slot, rows.length
    output = output._replace(
        top_tokens=output.top_tokens.at[at].set(tokens, mode="drop"),
        top_logprobs=output.top_logprobs.at[at].set(values, mode="drop"),
    )
    return state._replace(output=output)


def _record(
    state: State,
    tokens: Int[Array, "B"],
    logprobs: Float[Array, "B"],
    stop_state: Int[Array, "B"],
    finish_reason: Int[Array, "B"],
    visible: Int[Array, "B"],
) -> State:
    """Writes the rows' new tokens to the output, and idles the rows whose samples ended.

    Samples have no length in the output before their first visible token.
    """
    rows, output = state.rows, state.output
    at = rows.slot, rows.length
    output = output._replace(
        tokens=output.tokens.at[at].set(tokens, mode="drop"),
        logprobs=output.logprobs.at[at].set(logprobs, mode="drop"),
        length=output.length.at[rows.slot].set(
            jnp.where(visible > 0, rows.length + 1, 0), mode="drop"
        ),
        finish_reason=output.finish_reason.at[rows.slot].set(finish_reason, mode="drop"),
    )
    live = rows.slot < len(output.finish_reason)
    ended = finish_reason != RUNNING
    continues = live & ~ended
    rows = rows._replace(
        slot=jnp.where(ended, len(output.finish_reason), rows.slot),
        length=jnp.where(continues, rows.length + 1, 0),
        token=jnp.where(continues, tokens, rows.token),
        stop_state=stop_state,
    )
    busy = state.busy + live.sum()
    return state._replace(rows=rows, output=output, steps=state.steps + 1, busy=busy)


def _forward(
    config: model.DecoderConfig,
    shape: EngineShape,
    params: model.Params,
    state: State,
    row_params: SlotParams,
    mesh: Mesh,
) -> tuple[State, Float[Array, "B V"]]:
    """(state with the new keys and values, logits) of one token a row."""
    rows, prompts = state.rows, state.prompts
    attend = _attention(shape, state, row_params.prompt, mesh)
    positions = prompts.length[row_params.prompt] + rows.length
    hidden, cache = model.forward(
        config,
        params,
        rows.token[:, None],
        positions[:, None],
        attend,
        list(zip(prompts.cache, rows.cache, strict=True)),
        dtype=jnp.dtype(shape.dtype),
        wrap_block=prefix_attention.share_layer_trace,
        scan=False,
    )
    state = state._replace(rows=rows._replace(cache=tuple(cache)))
    return state, model.unembed(config, params, hidden[:, 0])


def _attention(shape: EngineShape, state: State, prompt: Int[Array, "B"], mesh: Mesh) -> Attend:
    """The attention of a step: a kernel on a flat cache, tiles of rows elsewhere."""
    rows, length = state.rows, state.prompts.length
    live = rows.slot < shape.output_slots
    interpret = mesh.devices.flat[0].platform == "cpu"
    if shape.flat_cache == "tpu":
        return flat_cache.sharded_attention(
            prompt,
            live,
            length,
            rows.length,
            mesh,
            positions=shape.max_prompt_tokens,
            interpret=interpret,
        )
    if shape.flat_cache:
        is_joined = shape.kv_cache_dtype == shape.dtype
        attention = flat_cache.joined_attention if is_joined else flat_cache.attention
        return attention(prompt, length, rows.length, interpret=interpret)
    tiles = prefix_attention.assign_tiles(prompt, live, length, shape.tile)
    return prefix_attention.shared_prefix_attention(tiles, group=shape.group, length=rows.length)


def _sample_tokens(
    state: State,
    row_params: SlotParams,
    logits: Float[Array, "B V"],
    adjustments: LogitAdjustments | None,
    stop_table: Int16[Array, "A V"],
    draws: int,
) -> tuple[State, Int[Array, "B"], Float[Array, "B"], Bool[Array, "B"]]:
    """(state, a token a row, its log-probability, rows that begin anew).

    With adjustments, the state also has top log-probabilities.
    """
    rows = state.rows
    raw = jax.lax.optimization_barrier(logits)  # both variants then draw by the same code
    adjusted = raw
    if adjustments is not None:
        tokens = state.output.tokens.at[rows.slot].get(mode="clip")
        index = jnp.arange(tokens.shape[1])
        hidden = 0 if rows.healing is None else rows.healing.hidden[:, None]
        is_valid = (index < rows.length[:, None]) & (index >= hidden)
        adjusted = apply_adjustments(raw, tokens, is_valid, adjustments)
        adjusted = jax.lax.optimization_barrier(adjusted)
    position = healing.key_position(rows)
    prompt_hash = state.prompts.hash[row_params.prompt]
    keys = sample_key(row_params.seed, prompt_hash, row_params.sample_index, position)
    restarts = jnp.zeros(len(keys), bool)
    if rows.healing is not None:
        raw, adjusted, restarts = healing.constrain(
            rows, row_params, stop_table, keys, raw, adjusted
        )
    if adjustments is not None:
        state = _record_top_logprobs(state, raw)
    filters = (row_params.temperature, row_params.top_k, row_params.min_p, row_params.top_p)
    tokens = sample_token(adjusted, keys, SamplingArrays(*filters), draws=draws)
    return state, tokens, logprob(raw, tokens), restarts


def decode(
    config: model.DecoderConfig,
    shape: EngineShape,
    params: model.Params,
    state: State,
    stop_table: Int16[Array, "A V"],
    inputs: LoopInputs,
    *,
    mesh: Mesh,
) -> State:
    """Runs up to `inputs.steps` steps; every row samples one token a step.

    Args:
      config: The model's.
      shape: The sizes that `state` has.
      params: As `shardings.to_decode_params` makes them.
      state: Donated.
      stop_table: Stop automata, `stop_strings.StopAutomata.table`.
      inputs: The queue, the slots' parameters, and the number of steps.
      mesh: The devices on which `state` lies.
    """
    draws = _GPU_DRAWS if mesh.devices.flat[0].platform == "gpu" else 0
    state = _apply_inputs(state, inputs)
    end = state.steps + inputs.steps

    def continues(state):
        waiting = state.queue.head < state.queue.tail
        running = (state.rows.slot < shape.output_slots).any()
        return (state.steps < end) & (waiting | (running & ~inputs.eager))

    def step(state):
        state = _refill(state, inputs.params)
        rows = state.rows

        def of_rows(x):
            return x.at[rows.slot].get(mode="clip")

        row_params, adjustments = jax.tree.map(of_rows, (inputs.params, inputs.adjustments))
        live = rows.slot < shape.output_slots
        state, logits = _forward(config, shape, params, state, row_params, mesh)
        state, tokens, logprobs, restarts = _sample_tokens(
            state, row_params, logits, adjustments, stop_table, draws
        )
        stop_state = stop_table[rows.stop_state, tokens].astype(jnp.int32)
        visible = healing.count_visible(rows, row_params, stop_state, restarts)
        is_full = visible >= row_params.max_new_tokens
        if shape.healing:
            position = state.prompts.length[row_params.prompt] + rows.length + 1
            is_out = (rows.length + 1 >= shape.positions) | (position >= config.max_length)
            is_full |= ~restarts & is_out
        finish_reason = jnp.where(is_full, FULL, RUNNING)
        stopped = (stop_state == STOPPED_STATE) & ~restarts
        finish_reason = jnp.where(stopped, STOPPED, finish_reason)
        finish_reason = jnp.where(live, finish_reason, RUNNING)
        state = _record(state, tokens, logprobs, stop_state, finish_reason, visible)
        return healing.restart(state, row_params, restarts, visible)

    return jax.lax.while_loop(continues, step, state)


def compiler_options(device: jax.Device) -> dict[str, str | bool] | None:
    """XLA's options for the loop: on NVIDIA GPUs, kernels are launched as graphs, and early."""
    client = device.client
    if device.platform != "gpu" or "cuda" not in client.platform_version:
        return None
    first, after = _CUDA_OPTIONS_OF
    return _CUDA_OPTIONS if first <= jax.__version_info__ < after else None


def jit_decode(state_shardings: Any) -> Any:
    """`decode`, compiled for a state with these shardings, which is donated to each call."""
    mesh = state_shardings.steps.mesh

    @functools.wraps(decode)
    def loop(*arguments):
        return decode(*arguments, mesh=mesh)

    return jax.jit(
        loop,
        static_argnums=(0, 1),
        donate_argnums=3,
        out_shardings=state_shardings,
        compiler_options=compiler_options(mesh.devices.flat[0]),
    )
