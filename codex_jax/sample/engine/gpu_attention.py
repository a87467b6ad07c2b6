"""Attention of one new token a row on NVIDIA GPUs, as one Triton kernel a layer.

A program of the kernel serves one row and one key head: it attends to the shared prefix, the row's
suffix and the new token by an online softmax over blocks of positions (FlashAttention, Dao et al.
2022), and writes the new key and value into the suffix. Programs whose rows share a prompt read its
prefix from the GPU's L2 cache, so that it leaves memory about once a step. A row's result depends
on its own positions alone: neither its neighbors nor the sizes of the buffers change it.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu
from jaxtyping import Array, Float, Int

def _setting(name, default):  # experiment
    import os

    return int(os.environ.get(name) or default)


def _block():  # positions read at a time
    return _setting("CODEX_BLOCK", 64)


def _params():
    warps, stages = _setting("CODEX_WARPS", 4), _setting("CODEX_STAGES", 2)
    return plgpu.CompilerParams(num_warps=warps, num_stages=stages)



_HEADS = 16  # the least rows of a matrix product
_MASKED = -1e30


class _Softmax(NamedTuple):
    """A softmax-weighted sum in progress: Σ e^(s - peak)·v, its peak, and Σ e^(s - peak)."""

    mixed: Float[Array, "heads H"]
    peak: Float[Array, "heads"]
    total: Float[Array, "heads"]

    def add(self, scores: Array, values: Array, mix) -> "_Softmax":
        """Includes more positions; `mix(weights, values)` is their weighted sum."""
        peak = jnp.maximum(self.peak, scores.max(axis=1))
        weights, shrink = jnp.exp(scores - peak[:, None]), jnp.exp(self.peak - peak)
        mixed = self.mixed * shrink[:, None] + mix(weights, values)
        return _Softmax(mixed, peak, self.total * shrink + weights.sum(axis=1))


def _dot(a: Array, b: Array) -> Array:
    dimensions = (((1,), (0,)), ((), ()))
    return jax.lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)


def _attend(queries: Array, cache: tuple, index: tuple, count: Array, state: _Softmax) -> _Softmax:
    """Includes the first `count` positions of a cache: keys, their scales, values, scales."""
    keys, key_scales, values, value_scales = cache

    _BLOCK = _block()

    def load_scale(scales, at):
        return 1.0 if scales is None else plgpu.load(scales.at[(*index, at)])[None]

    def add_block(n, state):
        at = pl.ds(n * _BLOCK, _BLOCK)
        is_seen = (n * _BLOCK + jnp.arange(_BLOCK) < count)[None]
        key, value = (plgpu.load(x.at[(*index, at)]).astype(queries.dtype) for x in (keys, values))
        scores = _dot(queries, key.T) * load_scale(key_scales, at)
        value_scale = load_scale(value_scales, at)
        return state.add(
            jnp.where(is_seen, scores, _MASKED),
            value,
            lambda weights, value: _dot((weights * value_scale).astype(value.dtype), value),
        )

    return jax.lax.fori_loop(0, pl.cdiv(count, _BLOCK), add_block, state)


class _Heads:
    """A part of an array of heads (B, heads, H), as the kernel indexes queries or keys."""

    def __init__(self, array, start: int, group: int):
        self.array, self.start, self.group = array, start, group
        self.shape, self.dtype, self.at = array.shape, array.dtype, self

    def __getitem__(self, index):
        if len(index) == 3:  # row, key head, all queries' heads
            return self.array.at[index[0], pl.ds(self.start + index[1] * self.group, _HEADS)]
        return self.array[index[0], self.start + index[1]]


def _heads_kernel(prompt, prefix_length, length, x, prefix, _, out, written, *, group, heads):
    """As `_kernel`, for queries, keys and values in one array."""
    kv_heads = heads // group
    new = (_Heads(x, heads, 1), None, _Heads(x, heads + kv_heads, 1), None)
    queries = _Heads(x, 0, group)
    _kernel(prompt, prefix_length, length, queries, new, prefix, _, out, written, group=group)


@functools.partial(jax.jit, static_argnames=("heads", "interpret"))
def attend_to_heads(x, prefix, suffix, lengths, *, heads: int, interpret: bool = False):
    """As `attend_and_write`, for heads of queries, keys and values in one array (B, N + 2K, H)."""
    B, _, H = x.shape
    K = prefix[0].shape[1]
    inputs = (*lengths, x, _fields(*prefix), _fields(*suffix))
    result = (jax.ShapeDtypeStruct((B, K, heads // K, H), x.dtype), _fields(*suffix))
    out_shape = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), result)
    targets = len(jax.tree.leaves(result)) - 1
    first = len(jax.tree.leaves(inputs)) - targets
    out, (keys, _, values, _) = pl.pallas_call(
        functools.partial(_heads_kernel, group=heads // K, heads=heads),
        grid=(B, K),
        out_shape=out_shape,
        input_output_aliases={first + n: 1 + n for n in range(targets)},
        compiler_params=_params(),
        interpret=interpret,
        name="attend_to_heads",
    )(*inputs)
    return out, keys, values


def _kernel(prompt, prefix_length, length, q, new, prefix, _, out, written, *, group: int):
    """The program of one row and key head; `new`, `prefix`, `written` are (k, scale, v, scale)."""
    row, head = pl.program_id(0), pl.program_id(1)
    owner, position = prompt[row], length[row]
    is_head = (jnp.arange(_HEADS) < group)[:, None]
    all_heads = pl.ds(0, _HEADS)
    queries = plgpu.load(q.at[row, head, all_heads], mask=is_head, other=0.0)
    queries = (queries.astype(jnp.float32) * q.shape[-1] ** -0.5).astype(q.dtype)

    zeros = jnp.zeros((_HEADS,), jnp.float32)
    state = _Softmax(jnp.zeros(queries.shape, jnp.float32), zeros + _MASKED, zeros)
    state = _attend(queries, prefix, (owner, head), prefix_length[owner], state)
    state = _attend(queries, written, (row, head), position, state)

    key, value = new[0][row, head], new[2][row, head]
    key_scale, value_scale = (None if x is None else x[row, head] for x in new[1::2])
    read_key = key.astype(jnp.float32) * (1.0 if key_scale is None else key_scale)
    read_value = value.astype(jnp.float32) * (1.0 if value_scale is None else value_scale)
    score = (queries.astype(jnp.float32) * read_key[None]).sum(axis=1, keepdims=True)
    state = state.add(score, read_value[None], lambda weights, value: weights * value)
    result = (state.mixed / state.total[:, None]).astype(out.dtype)
    plgpu.store(out.at[row, head, all_heads], result, mask=is_head)
    for target, field in zip(written, (key, key_scale, value, value_scale), strict=True):
        if target is not None:
            target[row, head, position] = field


def _fields(k: Any, v: Any) -> tuple:
    """(keys, their scales or None, values, their scales or None)."""
    if isinstance(k, tuple):
        return k[0], k[1], v[0], v[1]
    return k, None, v, None


@functools.partial(jax.jit, static_argnames="interpret")
def attend_and_write(
    q: Float[Array, "B K G H"],
    k: Any,
    v: Any,
    prefix: tuple,
    suffix: tuple,
    lengths: tuple[Int[Array, "B"], Int[Array, "P"], Int[Array, "B"]],
    *,
    interpret: bool = False,
) -> tuple[Float[Array, "B K G H"], Any, Any]:
    """Returns attention's result, and the suffix's keys and values with the new ones.

    Args:
      q: Queries of the new token; G heads share a key head.
      k: The new token's keys (B, K, H) as the cache stores them: an array, or int8 and scales.
      v: Its values, likewise.
      prefix: Keys and values (P, K, S, H) of the resident prompts; S is a multiple of 64.
      suffix: Keys and values (B, K, S, H) of the rows; overwritten.
      lengths: Each row's prompt, each prompt's positions, and each row's positions so far.
      interpret: Run by the interpreter, as on a CPU.
    """
    B, K, G, _ = q.shape
    inputs = (*lengths, q, _fields(k, v), _fields(*prefix), _fields(*suffix))
    result = (q, _fields(*suffix))
    out_shape = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), result)
    targets = len(jax.tree.leaves(result)) - 1
    first = len(jax.tree.leaves(inputs)) - targets
    out, (keys, key_scales, values, value_scales) = pl.pallas_call(
        functools.partial(_kernel, group=G),
        grid=(B, K),
        out_shape=out_shape,
        input_output_aliases={first + n: 1 + n for n in range(targets)},
        compiler_params=_params(),
        interpret=interpret,
        name="attend_and_write",
    )(*inputs)
    if key_scales is None:
        return out, keys, values
    return out, type(k)(keys, key_scales), type(v)(values, value_scales)
