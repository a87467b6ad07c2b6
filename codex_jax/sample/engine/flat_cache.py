"""Keys and values as one array a layer, which the GPU's attention kernel reads and writes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from codex_jax import model
from codex_jax.model.quantization import Int8
from codex_jax.sample.engine.kv_cache import to_cache_dtype

_BLOCK = 64  # positions that the kernel reads at a time
_HEAD_SIZES = (32, 64, 128, 256)

Values = Float[Array, "B K S H"] | Int8  # int8 with a scale for each head and position


class FlatLayer(NamedTuple):
    """A layer's keys and values, each (B, K, S, H)."""

    k: Values
    v: Values


def is_supported(config: model.DecoderConfig, dtype: str, mesh: Mesh) -> bool:
    """Whether the kernel serves this model: bfloat16 activations on one NVIDIA GPU since Ampere."""
    device = mesh.devices.flat[0]
    return (
        mesh.size == 1
        and device.platform == "gpu"
        and "cuda" in device.client.platform_version
        and float(device.compute_capability) >= 8.0
        and dtype == "bfloat16"
        and config.head_size in _HEAD_SIZES
        and config.heads // config.kv_heads <= 16
    )


def empty_cache(
    config: model.DecoderConfig, *, rows: int, positions: int, dtype: DTypeLike
) -> tuple[FlatLayer, ...]:
    """A cache of zeros for at least so many positions."""
    size = -(-positions // _BLOCK) * _BLOCK
    shape = (rows, config.kv_heads, size, config.head_size)

    def empty_values() -> Values:
        values = jnp.zeros(shape, dtype)
        return Int8(values, jnp.zeros(shape[:3])) if dtype == jnp.int8 else values

    return tuple(FlatLayer(empty_values(), empty_values()) for _ in range(config.layers))


def write_prompt(layer: FlatLayer, slot: Int[Array, ""], keys: Values, values: Values) -> FlatLayer:
    """The layer with a prompt's keys (K, H, T) and values (K, T, H) in row `slot`."""
    if isinstance(keys, Int8):
        keys = Int8(keys.values.swapaxes(1, 2), keys.scale)
    else:
        keys = keys.swapaxes(1, 2)

    def write(cached: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_slice(cached, new[None], (slot, *[0] * new.ndim))

    return FlatLayer(jax.tree.map(write, layer.k, keys), jax.tree.map(write, layer.v, values))


def attention(
    prompt: Int[Array, "B"],
    prefix_length: Int[Array, "P"],
    length: Int[Array, "B"],
    *,
    interpret: bool = False,
):
    """Returns an `attend` for one new token a row, at position `length` of the row's suffix.

    Args:
      prompt: Index of each row's prompt.
      prefix_length: Positions of each prompt.
      length: Positions of each row's suffix before the new token.
      interpret: Run the kernel by the interpreter, as on a CPU.
    """
    from codex_jax.sample.engine.gpu_attention import attend_and_write  # Pallas loads slowly

    def attend(q, k, v, cache, layer):
        del layer
        prefix, suffix = cache
        B, _, N, H = q.shape
        K = k.shape[2]
        dtype = jnp.int8 if isinstance(suffix.k, Int8) else suffix.k.dtype
        new_key, new_value = (to_cache_dtype(x[:, 0], dtype) for x in (k, v))
        queries = q.reshape(B, K, N // K, H)
        lengths = prompt, prefix_length, length
        out, *written = attend_and_write(
            queries, new_key, new_value, prefix, suffix, lengths, interpret=interpret
        )
        return out.reshape(B, 1, N, H), FlatLayer(*written)

    return attend
