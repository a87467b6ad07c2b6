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

_BLOCK = 128  # positions read at a time
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

    def add_block(n, state):
        at = pl.ds(n * _BLOCK, _BLOCK)
        is_seen = n * _BLOCK + jnp.arange(_BLOCK) < count

        def load(field):
            mask = is_seen[:, None] if len(field.shape) == 4 else is_seen
            return plgpu.load(field.at[(*index, at)], mask=mask, other=0)

        keys, key_scales, values, value_scales = (None if x is None else load(x) for x in cache)
        keys, values = keys.astype(queries.dtype), values.astype(queries.dtype)
        scores = _dot(queries, keys.T)
        if key_scales is not None:
            scores = scores * key_scales[None]

        def mix(weights, values):
            scaled = weights if value_scales is None else weights * value_scales[None]
            return _dot(scaled.astype(values.dtype), values)

        return state.add(jnp.where(is_seen[None], scores, _MASKED), values, mix)

    return jax.lax.fori_loop(0, pl.cdiv(count, _BLOCK), add_block, state)


def _program(lengths, queries, new, prefix, out, written, *, group: int):
    """The program of one row and key head.

    Args:
      lengths: Each row's prompt, each prompt's positions, and each row's positions so far.
      queries: (16, H), of which `group` are the head's.
      new: The new token's (key, its scale or None, value, its scale or None).
      prefix: The prompts' keys, their scales, values, their scales.
      out: Results of all rows.
      written: The rows' keys, their scales, values, their scales.
      group: Queries of a key head.
    """
    prompt, prefix_length, length = lengths
    row, head = pl.program_id(0), pl.program_id(1)
    owner, position = prompt[row], length[row]
    queries = (queries.astype(jnp.float32) * queries.shape[1] ** -0.5).astype(queries.dtype)

    zeros = jnp.zeros((_HEADS,), jnp.float32)
    state = _Softmax(jnp.zeros(queries.shape, jnp.float32), zeros + _MASKED, zeros)
    state = _attend(queries, prefix, (owner, head), prefix_length[owner], state)
    state = _attend(queries, written, (row, head), position, state)

    read_key, read_value = (
        x.astype(jnp.float32) * (1.0 if scale is None else scale) for x, scale in (new[:2], new[2:])
    )
    score = (queries.astype(jnp.float32) * read_key[None]).sum(axis=1, keepdims=True)
    state = state.add(score, read_value[None], lambda weights, value: weights * value)
    result = (state.mixed / state.total[:, None]).astype(out.dtype)
    is_head = (jnp.arange(_HEADS) < group)[:, None]
    plgpu.store(out.at[row, head, pl.ds(0, _HEADS)], result, mask=is_head)
    for target, field in zip(written, new, strict=True):
        if target is not None:
            target[row, head, position] = field


def _load_queries(queries: Any, group: int) -> Array:
    """(16, H), zeros after a group's."""
    is_head = (jnp.arange(_HEADS) < group)[:, None]
    return plgpu.load(queries, mask=is_head, other=0.0)


def _kernel(*refs, group: int):
    """Of queries, keys and values by themselves."""
    *lengths, q, new, prefix, _, out, written = refs
    at = pl.program_id(0), pl.program_id(1)
    queries = _load_queries(q.at[(*at, pl.ds(0, _HEADS))], group)
    new = tuple(None if x is None else x[at] for x in new)
    _program(lengths, queries, new, prefix, out, written, group=group)


def _joined_kernel(*refs, group: int, kv_heads: int):
    """Of queries, keys and values in one array."""
    *lengths, x, prefix, _, out, written = refs
    row, head = pl.program_id(0), pl.program_id(1)
    queries = _load_queries(x.at[row, pl.ds(head * group, _HEADS)], group)
    key = kv_heads * group + head
    new = x[row, key], None, x[row, key + kv_heads], None
    _program(lengths, queries, new, prefix, out, written, group=group)


def _fields(k: Any, v: Any) -> tuple:
    """(keys, their scales or None, values, their scales or None)."""
    if isinstance(k, tuple):
        return k[0], k[1], v[0], v[1]
    return k, None, v, None


def _call(kernel: Any, inputs: tuple, suffix: tuple, out: Any, interpret: bool):
    """(result, the suffix's fields) of a kernel that writes the suffix, its last input."""
    result = (out, suffix)
    out_shape = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), result)
    targets = len(jax.tree.leaves(suffix))
    first = len(jax.tree.leaves(inputs))
    return pl.pallas_call(
        kernel,
        grid=out.shape[:2],
        out_shape=out_shape,
        input_output_aliases={first + n: 1 + n for n in range(targets)},
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        interpret=interpret,
        name="attend_and_write",
    )(*inputs, suffix)


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
      prefix: Keys and values (P, K, S, H) of the resident prompts.
      suffix: Keys and values (B, K, S, H) of the rows; overwritten.
      lengths: Each row's prompt, each prompt's positions, and each row's positions so far.
      interpret: Run by the interpreter, as on a CPU.
    """
    kernel = functools.partial(_kernel, group=q.shape[2])
    inputs = (*lengths, q, _fields(k, v), _fields(*prefix))
    out, (keys, key_scales, values, value_scales) = _call(
        kernel, inputs, _fields(*suffix), q, interpret
    )
    if key_scales is None:
        return out, keys, values
    return out, type(k)(keys, key_scales), type(v)(values, value_scales)


@functools.partial(jax.jit, static_argnames=("heads", "interpret"))
def attend_to_joined(
    x: Float[Array, "B A H"],
    prefix: tuple,
    suffix: tuple,
    lengths: tuple[Int[Array, "B"], Int[Array, "P"], Int[Array, "B"]],
    *,
    heads: int,
    interpret: bool = False,
) -> tuple[Float[Array, "B K G H"], Array, Array]:
    """As `attend_and_write`, for A heads: `heads` of queries, then those of keys and of values."""
    B, _, H = x.shape
    K = prefix[0].shape[1]
    kernel = functools.partial(_joined_kernel, group=heads // K, kv_heads=K)
    out = jax.ShapeDtypeStruct((B, K, heads // K, H), x.dtype)
    inputs = (*lengths, x, _fields(*prefix))
    out, (keys, _, values, _) = _call(kernel, inputs, _fields(*suffix), out, interpret)
    return out, keys, values
