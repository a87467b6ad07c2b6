"""Keys and values as one array a layer, which attention kernels read and write.

On a TPU, rows lie on the data axes of a mesh and heads on `tensor`, so each device attends to its
own part under shard_map. Its kernel reads a row's own keys; prompts are read by XLA, each once for
all rows of the device, and the parts are merged by their log-sum-exp (Hydragen, Juravsky et al.
2024).
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from codex_jax import model, sharding
from codex_jax.model.attention.core import Attend, JoinedAttend
from codex_jax.model.quantization import Int8
from codex_jax.sample.engine.kv_cache import to_cache_dtype
from codex_jax.sample.engine.prefix_attention import PartialSoftmax, empty_partial, merge

_MASKED = -1e30
_BLOCK = 128  # a multiple of the positions that the kernels read at a time
_HEAD_SIZES = (32, 64, 128, 256)

Values = Float[Array, "B K S H"] | Int8  # int8 with a scale for each head and position


class FlatLayer(NamedTuple):
    """A layer's keys and values, each (B, K, S, H)."""

    k: Values
    v: Values


def choose_kernel(config: model.DecoderConfig, dtype: str, cache_dtype: str, mesh: Mesh) -> str:
    """The kernel that serves this model on these devices: "gpu", "tpu" or "" for none.

    Activations are bfloat16, without a sliding window. "gpu": one NVIDIA GPU since Ampere. "tpu":
    a cache in bfloat16 or int8, heads of a multiple of 128.
    """
    device = mesh.devices.flat[0]
    if dtype != "bfloat16" or config.window:
        return ""
    if device.platform == "tpu":
        fits = cache_dtype in ("bfloat16", "int8") and config.head_size % 128 == 0
        return "tpu" if fits else ""
    is_gpu = (
        mesh.size == 1
        and device.platform == "gpu"
        and "cuda" in device.client.platform_version
        and float(device.compute_capability) >= 8.0
        and config.head_size in _HEAD_SIZES
        and config.heads // config.kv_heads <= 16
    )
    return "gpu" if is_gpu else ""


def empty_cache(
    config: model.DecoderConfig, *, rows: int, positions: int, dtype: DTypeLike
) -> tuple[FlatLayer, ...]:
    """A cache of zeros for at least so many positions."""
    shape = (rows, config.kv_heads, _capacity(positions), config.head_size)

    def empty_values() -> Values:
        values = jnp.zeros(shape, dtype)
        return Int8(values, jnp.zeros(shape[:3])) if dtype == jnp.int8 else values

    return tuple(FlatLayer(empty_values(), empty_values()) for _ in range(config.layers))


def _capacity(positions: int) -> int:
    """Positions of a cache for at least so many."""
    return -(-positions // _BLOCK) * _BLOCK


def _dtype(values: Values) -> DTypeLike:
    return values.values.dtype if isinstance(values, Int8) else values.dtype


def write_prompt(
    layer: FlatLayer,
    slot: Int[Array, ""],
    keys: Float[Array, "K H T"] | Int8,
    values: Float[Array, "K T H"] | Int8,
) -> FlatLayer:
    """The layer with a prompt's keys (K, H, T) and values (K, T, H) in row `slot`.

    Positions beyond the cache are padding.
    """
    if isinstance(keys, Int8):
        keys = Int8(keys.values.swapaxes(1, 2), keys.scale)
    else:
        keys = keys.swapaxes(1, 2)

    def write(cached: Array, new: Array) -> Array:
        new = new[None, :, : cached.shape[2]]
        return jax.lax.dynamic_update_slice(cached, new, (slot, *[0] * (new.ndim - 1)))

    return FlatLayer(jax.tree.map(write, layer.k, keys), jax.tree.map(write, layer.v, values))


def attention(
    prompt: Int[Array, "B"],
    prefix_length: Int[Array, "P"],
    length: Int[Array, "B"],
    *,
    interpret: bool = False,
) -> Attend:
    """Returns an `attend` for one new token a row, at position `length` of the row's suffix.

    Args:
      prompt: Index of each row's prompt.
      prefix_length: Positions of each prompt.
      length: Positions of each row's suffix before the new token.
      interpret: Run the kernel by the interpreter, as on a CPU.
    """
    from codex_jax.sample.engine import gpu_attention  # Pallas loads slowly

    lengths = prompt, prefix_length, length

    def attend(q, k, v, cache, layer):
        del layer
        prefix, suffix = cache
        B, _, N, H = q.shape
        K = k.shape[2]
        new_key, new_value = (to_cache_dtype(x[:, 0], _dtype(suffix.k)) for x in (k, v))
        queries = q.reshape(B, K, N // K, H)
        out, *written = gpu_attention.attend_and_write(
            queries, new_key, new_value, prefix, suffix, lengths, interpret=interpret
        )
        return out.reshape(B, 1, N, H), FlatLayer(*written)

    return attend


def joined_attention(
    prompt: Int[Array, "B"],
    prefix_length: Int[Array, "P"],
    length: Int[Array, "B"],
    *,
    interpret: bool = False,
) -> JoinedAttend:
    """As `attention`, of queries, keys and values in one array; the cache has their dtype."""
    from codex_jax.sample.engine import gpu_attention  # Pallas loads slowly

    lengths = prompt, prefix_length, length

    def attend(x, heads, cache):
        prefix, suffix = cache
        B, _, _, H = x.shape
        out, *written = gpu_attention.attend_to_joined(
            x[:, 0], prefix, suffix, lengths, heads=heads, interpret=interpret
        )
        return out.reshape(B, 1, heads, H), FlatLayer(*written)

    return JoinedAttend(attend)


def _product(equation: str, a: Array, b: Array) -> Array:
    """An einsum with sums in f32; a CPU lacks this product of bfloat16 in a loop."""

    def multiply(a, b):
        return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)

    def multiply_in_float32(a, b):
        return multiply(a.astype(jnp.float32), b.astype(jnp.float32))

    return jax.lax.platform_dependent(a, b, cpu=multiply_in_float32, default=multiply)


def _numbers(values: Array | Int8, dtype: DTypeLike) -> Array:
    """The values, or the integers that stand for them, as a product takes them."""
    return (values.values if isinstance(values, Int8) else values).astype(dtype)


def _scale(x: Float[Array, "B K G S"], values: Array | Int8) -> Float[Array, "B K G S"]:
    """Scores or weights of positions times their scales, where there are any."""
    return x * values.scale[:, None] if isinstance(values, Int8) else x


class _Prompts(NamedTuple):
    """What a step's layers share: which prompts to read, and which rows see which positions.

    Attributes:
      order: indices of prompts, those with rows first.
      used: the number of prompts with rows.
      bias: 0 where a row sees a prompt's position, else a large negative number.
    """

    order: Any  # (P,) of int32
    used: Any  # () of int32
    bias: Any  # (P, B, S) of f32


def _assign_prompts(prompt: Int[Array, "B"], length: Int[Array, "P"], positions: int) -> _Prompts:
    """Prompts without rows, or of no length, aren't read."""
    has_row = prompt[None] == jnp.arange(len(length))[:, None]
    used = has_row.any(axis=1) & (length > 0)
    is_seen = has_row[:, :, None] & (jnp.arange(positions) < length[:, None])[:, None]
    return _Prompts(jnp.argsort(~used, stable=True), used.sum(), jnp.where(is_seen, 0.0, _MASKED))


def _attend_to_prompts(
    q: Float[Array, "B K G H"], prefix: FlatLayer, prompts: _Prompts
) -> PartialSoftmax:
    """Attends to each row's prompt."""

    def attend(n, result):
        owner = prompts.order[n]
        select = functools.partial(jax.lax.dynamic_index_in_dim, index=owner, keepdims=False)
        keys, values = jax.tree.map(select, prefix)
        scores = _scale(_product("BKGH,KSH->BKGS", q, _numbers(keys, q.dtype)), keys)
        scores = scores * q.shape[-1] ** -0.5 + select(prompts.bias)[:, None, None]
        peak = scores.max(axis=-1)
        weights = jnp.exp(scores - peak[..., None])  # 1 where a row sees nothing: merged as 0
        scaled = _scale(weights, values).astype(q.dtype)
        mixed = _product("BKGS,KSH->BKGH", scaled, _numbers(values, q.dtype))
        return merge(result, PartialSoftmax(mixed, peak, weights.sum(axis=-1)))

    return jax.lax.fori_loop(0, prompts.used, attend, empty_partial(q.shape))


def sharded_attention(
    prompt: Int[Array, "B"],
    live: Bool[Array, "B"],
    prefix_length: Int[Array, "P"],
    length: Int[Array, "B"],
    mesh: Mesh,
    *,
    positions: int,
    interpret: bool = False,
):
    """Returns an `attend` as `attention` does, for a TPU; rows that aren't live see no prompt.

    The prompts' cache was made for `positions`.
    """
    from codex_jax.sample.engine.tpu_attention import attend_and_write

    rows, heads = sharding.spec(("batch", "kv_heads"))
    split, by_rows = PartitionSpec(rows, heads), PartitionSpec(rows)
    shared = _Prompts(by_rows, by_rows, PartitionSpec(None, rows))
    cache = (PartitionSpec(None, heads), split)
    on_devices = functools.partial(jax.shard_map, mesh=mesh, check_vma=False)

    @functools.partial(on_devices, in_specs=(by_rows, PartitionSpec()), out_specs=shared)
    def assign_locally(prompt, prefix_length):
        order, used, bias = _assign_prompts(prompt, prefix_length, _capacity(positions))
        return _Prompts(order[None], used[None], bias)

    @functools.partial(
        on_devices,
        in_specs=(split, split, split, cache, shared, by_rows),
        out_specs=(split, split),
    )
    def attend_locally(q, k, v, cache, prompts, length):
        prefix, suffix = cache
        prompts = _Prompts(prompts.order[0], prompts.used[0], prompts.bias)
        before = _attend_to_prompts(q, prefix, prompts)
        out, *written = attend_and_write(q, k, v, *suffix, length, before, interpret=interpret)
        return out, FlatLayer(*written)

    owner = jnp.where(live, prompt, len(prefix_length))  # out of range: no prompt
    prompts = assign_locally(owner, prefix_length)  # once for all layers

    def attend(q, k, v, cache: Any, layer):
        del layer
        B, _, N, H = q.shape
        K = k.shape[2]
        grouped = q.reshape(B, K, N // K, H)
        out, written = attend_locally(grouped, k[:, 0], v[:, 0], cache, prompts, length)
        return out.reshape(B, 1, N, H), written

    return attend
