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


class Tiling(NamedTuple):
    """How a program reads its positions.

    Attributes:
      block: Positions read at a time.
      warps: Of a program, 32 threads each.
      stages: Blocks being read or computed with at once.
      together: Whether prefix and suffix are read as one sequence.
    """

    block: int = 64
    warps: int = 4
    stages: int = 2
    together: bool = False


TILING = Tiling()
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


def _read(caches: tuple, starts: tuple, seen: tuple, block: int) -> Array | None:
    """A block of a field; of several caches, each position from the one whose mask is true there.

    Args:
      caches: A field of each cache, and its row and head: (field, row, head).
      starts: First position of the block in each cache; may be negative.
      seen: Masks of the block's positions.
      block: Positions.
    """
    result = None
    for (field, row, head), start, mask in zip(caches, starts, seen, strict=True):
        if field is None:
            return None
        at = [jnp.maximum(start + jnp.arange(block), 0)]
        if len(field.shape) == 4:
            shape = (block, field.shape[3])
            at = [jnp.broadcast_to(at[0][:, None], shape)]
            at.append(jnp.broadcast_to(jnp.arange(shape[1])[None], shape))
            mask = jnp.broadcast_to(mask[:, None], shape)
        if len(caches) == 1:
            read = plgpu.load(field.at[row, head, pl.ds(start, block)], mask=mask, other=0)
        else:
            read = plgpu.load(field.at[row, head, *at], mask=mask, other=0)
        result = read if result is None else jnp.where(mask, read, result)
    return result


def _attend(
    queries: Array, caches: list[tuple], counts: list[Array], tiling: Tiling, state: _Softmax
) -> _Softmax:
    """Includes the first positions of caches, as one sequence.

    Args:
      queries: (16, H), scaled.
      caches: Each ((keys, their scales, values, their scales), row, head).
      counts: Positions of each.
      tiling: How they are read.
      state: Of what is included already.
    """
    block = tiling.block
    ends = [sum(counts[: n + 1]) for n in range(len(counts))]

    def add_block(n, state):
        position = n * block + jnp.arange(block)
        starts = [n * block + count - end for count, end in zip(counts, ends, strict=True)]
        seen = [
            (position >= end - count) & (position < end)
            for count, end in zip(counts, ends, strict=True)
        ]

        def read(field):
            parts = [(cache[field], row, head) for cache, row, head in caches]
            return _read(parts, starts, seen, block)

        key, value = (read(field).astype(queries.dtype) for field in (0, 2))
        key_scale, value_scale = read(1), read(3)
        scores = _dot(queries, key.T)
        if key_scale is not None:
            scores = scores * key_scale[None]
        scores = jnp.where((position < ends[-1])[None], scores, _MASKED)

        def mix(weights, value):
            scaled = weights if value_scale is None else weights * value_scale[None]
            return _dot(scaled.astype(value.dtype), value)

        return state.add(scores, value, mix)

    return jax.lax.fori_loop(0, pl.cdiv(ends[-1], block), add_block, state)


def _program(lengths, queries, new, prefix, out, written, *, group: int, tiling: Tiling):
    """The program of one row and key head.

    Args:
      lengths: Each row's prompt, each prompt's positions, and each row's positions so far.
      queries: (16, H), of which `group` are the head's.
      new: The new token's (key, its scale or None, value, its scale or None).
      prefix: The prompts' keys, their scales, values, their scales.
      out: Results of all rows.
      written: The rows' keys, their scales, values, their scales.
      group: Queries of a key head.
      tiling: How positions are read.
    """
    prompt, prefix_length, length = lengths
    row, head = pl.program_id(0), pl.program_id(1)
    owner, position = prompt[row], length[row]
    queries = (queries.astype(jnp.float32) * queries.shape[1] ** -0.5).astype(queries.dtype)

    zeros = jnp.zeros((_HEADS,), jnp.float32)
    state = _Softmax(jnp.zeros(queries.shape, jnp.float32), zeros + _MASKED, zeros)
    caches = [(prefix, owner, head), (written, row, head)]
    counts = [prefix_length[owner], position]
    if tiling.together:
        state = _attend(queries, caches, counts, tiling, state)
    else:
        for cache, count in zip(caches, counts, strict=True):
            state = _attend(queries, [cache], [count], tiling, state)

    read_key, read_value = (
        x.astype(jnp.float32) * (1.0 if scale is None else scale)
        for x, scale in (new[:2], new[2:])
    )
    score = (queries.astype(jnp.float32) * read_key[None]).sum(axis=1, keepdims=True)
    state = state.add(score, read_value[None], lambda weights, value: weights * value)
    result = (state.mixed / state.total[:, None]).astype(out.dtype)
    is_head = (jnp.arange(_HEADS) < group)[:, None]
    plgpu.store(out.at[row, head, pl.ds(0, _HEADS)], result, mask=is_head)
    for target, field in zip(written, new, strict=True):
        if target is not None:
            target[row, head, position] = field


def _kernel(*refs, group: int, tiling: Tiling):
    """Of queries, keys and values by themselves."""
    *lengths, q, new, prefix, _, out, written = refs
    row, head = pl.program_id(0), pl.program_id(1)
    is_head = (jnp.arange(_HEADS) < group)[:, None]
    queries = plgpu.load(q.at[row, head, pl.ds(0, _HEADS)], mask=is_head, other=0.0)
    new = tuple(None if x is None else x[row, head] for x in new)
    _program(lengths, queries, new, prefix, out, written, group=group, tiling=tiling)


def _joined_kernel(*refs, group: int, kv_heads: int, tiling: Tiling):
    """Of queries, keys and values in one array."""
    *lengths, x, prefix, _, out, written = refs
    row, head = pl.program_id(0), pl.program_id(1)
    is_head = (jnp.arange(_HEADS) < group)[:, None]
    of_group = pl.ds(head * group, _HEADS)
    queries = plgpu.load(x.at[row, of_group], mask=is_head, other=0.0)
    first = kv_heads * group + head
    new = x[row, first], None, x[row, first + kv_heads], None
    _program(lengths, queries, new, prefix, out, written, group=group, tiling=tiling)


def _fields(k: Any, v: Any) -> tuple:
    """(keys, their scales or None, values, their scales or None)."""
    if isinstance(k, tuple):
        return k[0], k[1], v[0], v[1]
    return k, None, v, None


def _call(kernel: Any, inputs: tuple, suffix: tuple, out: Any, tiling: Tiling, interpret: bool):
    """(result, the suffix's fields) of a kernel that writes the suffix, its last input."""
    result = (out, suffix)
    out_shape = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), result)
    targets = len(jax.tree.leaves(suffix))
    first = len(jax.tree.leaves(inputs))
    return pl.pallas_call(
        functools.partial(kernel, tiling=tiling),
        grid=out.shape[:2],
        out_shape=out_shape,
        input_output_aliases={first + n: 1 + n for n in range(targets)},
        compiler_params=plgpu.CompilerParams(num_warps=tiling.warps, num_stages=tiling.stages),
        interpret=interpret,
        name="attend_and_write",
    )(*inputs, suffix)


@functools.partial(jax.jit, static_argnames=("tiling", "interpret"))
def attend_and_write(
    q: Float[Array, "B K G H"],
    k: Any,
    v: Any,
    prefix: tuple,
    suffix: tuple,
    lengths: tuple[Int[Array, "B"], Int[Array, "P"], Int[Array, "B"]],
    *,
    tiling: Tiling = TILING,
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
      tiling: How positions are read.
      interpret: Run by the interpreter, as on a CPU.
    """
    kernel = functools.partial(_kernel, group=q.shape[2])
    inputs = (*lengths, q, _fields(k, v), _fields(*prefix))
    out, (keys, key_scales, values, value_scales) = _call(
        kernel, inputs, _fields(*suffix), q, tiling, interpret
    )
    if key_scales is None:
        return out, keys, values
    return out, type(k)(keys, key_scales), type(v)(values, value_scales)


@functools.partial(jax.jit, static_argnames=("heads", "tiling", "interpret"))
def attend_to_joined(
    x: Float[Array, "B N+2K H"],
    prefix: tuple,
    suffix: tuple,
    lengths: tuple[Int[Array, "B"], Int[Array, "P"], Int[Array, "B"]],
    *,
    heads: int,
    tiling: Tiling = TILING,
    interpret: bool = False,
) -> tuple[Float[Array, "B K G H"], Array, Array]:
    """As `attend_and_write`, for queries (N = `heads`), keys and values in one array."""
    B, _, H = x.shape
    K = prefix[0].shape[1]
    kernel = functools.partial(_joined_kernel, group=heads // K, kv_heads=K)
    out = jax.ShapeDtypeStruct((B, K, heads // K, H), x.dtype)
    inputs = (*lengths, x, _fields(*prefix))
    out, (keys, _, values, _) = _call(kernel, inputs, _fields(*suffix), out, tiling, interpret)
    return out, keys, values
