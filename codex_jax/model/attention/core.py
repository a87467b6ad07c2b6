"""Rotary positions, and attention over packed rows.

The decoder attends by a function `attend(q, k, v, cache, layer) -> (out, cache)`: training attends
within segments and carries no cache; sampling writes its cache and reads it. So a sampler can use
any cache without changes to the decoder.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array, Bool, Float, Int

from codex_jax.model.linear import is_one_cpu, product

Attend = Callable[..., tuple[Array, Any]]


@dataclasses.dataclass(frozen=True)
class JoinedAttend:
    """An attention to which the decoder gives queries, keys and values as one array.

    Attributes:
      attend: (x (B, T, N + 2K, H), N, cache) → (out, cache).
    """

    attend: Callable[[Array, int, Any], tuple[Array, Any]]

    def __call__(self, x: Array, heads: int, cache: Any) -> tuple[Array, Any]:
        """(out, cache) of queries of so many heads, keys and values."""
        return self.attend(x, heads, cache)


ATTENTION = "attention"  # checkpoint_name of attention's results, for rematerialization policies

MASKED = -1e30  # finite, so that a query that sees no key gives a mean and not NaN


def rotary_angles(
    positions: Int[Array, "B T"],
    size: int,
    *,
    base: float,
    divisors: Float[np.ndarray, "R"] | float = 1.0,
    magnitude: float = 1.0,
) -> tuple[Float[Array, "B T 1 R"], Float[Array, "B T 1 R"]]:
    """(cos, sin) of the angles by which `rotary` rotates `size` numbers of a head, in f32.

    Args:
      positions: of the tokens.
      size: numbers of a head that are rotated; R is half of it.
      base: of the angles.
      divisors: of the frequencies, from `rotary_scaling`.
      magnitude: multiplies cos and sin.
    """

    def compute(positions):
        frequencies = base ** (-jnp.arange(size // 2, dtype=jnp.float32) / (size // 2))
        frequencies = frequencies / jnp.asarray(divisors, jnp.float32)
        angles = positions[:, :, None, None].astype(jnp.float32) * frequencies
        cos, sin = jnp.cos(angles), jnp.sin(angles)
        return (cos, sin) if magnitude == 1 else (cos * magnitude, sin * magnitude)

    def once(positions):
        return jax.lax.optimization_barrier(compute(positions))

    def once_on_cpu(positions):  # where XLA drops barriers, and would compute them for each head
        with set_xla_metadata(inlineable="false"):
            return jax.jit(compute)(positions)

    if not is_one_cpu():
        return once(positions)
    return jax.lax.platform_dependent(positions, cpu=once_on_cpu, default=once)


def rotary(
    x: Float[Array, "B T N H"], cos: Float[Array, "B T 1 R"], sin: Float[Array, "B T 1 R"]
) -> Float[Array, "B T N H"]:
    """Rotates the two halves of each head by position (RoFormer, section 3.4), in f32.

    Args:
      x: queries or keys.
      cos: from `rotary_angles`; only the first 2 × R numbers of each head are rotated.
      sin: likewise.
    """
    size = 2 * cos.shape[-1]
    first, second = jnp.split(x[..., :size].astype(jnp.float32), 2, axis=-1)
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    rotated = rotated.astype(x.dtype)
    return rotated if size == x.shape[-1] else jnp.concatenate([rotated, x[..., size:]], axis=-1)


def dot_product(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    mask: Bool[Array, "B T S"],
) -> Float[Array, "B T N H"]:
    """softmax(q·k/√H)·v where mask is true; N/K query heads share a key head. Softmax in f32."""
    B, T, N, H = q.shape
    K = k.shape[2]
    grouped = q.reshape(B, T, K, N // K, H)
    scores = jnp.einsum("BTKGH,BSKH->BKGTS", grouped, k, preferred_element_type=jnp.float32)
    scores = jnp.where(mask[:, None, None], scores * H**-0.5, MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    return product("BKGTS,BSKH->BTKGH", weights, v).reshape(B, T, N, H)


def packed_mask(segment_ids: Int[Array, "B T"]) -> Bool[Array, "B T T"]:
    """True where a token sees another (last axis): not after it, and of its own segment."""
    T = segment_ids.shape[1]
    same_segment = segment_ids[:, :, None] == segment_ids[:, None, :]
    return same_segment & jnp.tri(T, dtype=bool)


def packed_attention(segment_ids: Int[Array, "B T"]) -> Attend:
    """Attention for training: causal, within segments, without a cache."""
    mask = packed_mask(segment_ids)

    def attend(q, k, v, cache, layer, window=0):
        del layer
        T = mask.shape[1]
        seen = mask & ~jnp.tri(T, k=-window, dtype=bool) if 0 < window < T else mask
        return checkpoint_name(dot_product(q, k, v, seen), ATTENTION), cache

    return attend
