"""Sizes of the engine's arrays for a workload."""

import jax

from codex_jax import InputError
from codex_jax.sample.engine import prefix_attention
from codex_jax.sample.engine.state import EngineShape

_ROWS, _GROUP = 32, 4  # rows, tiles at a time on a CPU; an accelerator takes all
_BUCKET = 64  # prompts are prefilled in lengths of this times a power of two


def bucket(length: int) -> int:
    """The length to which a prompt of `length` tokens is padded."""
    return max(_BUCKET, 1 << (length - 1).bit_length())


def plan(
    *,
    max_prompt_tokens: int,
    samples_per_prompt: int,
    rows: int,
    max_new_tokens: int,
    dtype: str = "float32",
    weights_dtype: str | None = None,
    kv_cache_dtype: str | None = None,
    platform: str | None = None,
    tail_bytes: int = 0,
) -> EngineShape:
    """Sizes for a workload: rows, and space for the prompts that fill them and that come next.

    A prompt keeps its slot until the longest of its samples ends, and prompts arrive between calls
    of the loop: with typical lengths rows stay busy if there is space for four times the prompts
    that fill them, or two and a half times if each has one sample (docs/experiments.md).

    Args:
      max_prompt_tokens: Tokens of the longest prompt.
      samples_per_prompt: Most samples of a prompt.
      rows: Samples that run at a time.
      max_new_tokens: Most new tokens of a sample.
      dtype: Of activations, and the default of the other two.
      weights_dtype: "int8" or a dtype.
      kv_cache_dtype: "int8" or a dtype.
      platform: Of the devices; JAX's default if None.
      tail_bytes: Of the longest tail of a prompt that its samples spell again; 0 if none does.

    Raises:
      InputError: an unknown dtype.
    """
    weights_dtype, kv_cache_dtype = weights_dtype or dtype, kv_cache_dtype or dtype
    _check_dtypes(dtype=dtype, weights_dtype=weights_dtype, kv_cache_dtype=kv_cache_dtype)
    filling = -(-rows // samples_per_prompt)
    prompts = max(2 * filling + 4, 4 * filling if samples_per_prompt > 1 else 5 * filling // 2)
    tile = -(-samples_per_prompt // -(-samples_per_prompt // _ROWS))  # equal tiles of a prompt
    group = min(_GROUP, _ROWS // tile)
    if (platform or jax.default_backend()) != "cpu":
        tile = min(rows, samples_per_prompt)
        group = prefix_attention.count_tiles(rows, prompts, tile)
    return EngineShape(
        rows=rows,
        resident_prompts=prompts,
        max_prompt_tokens=max_prompt_tokens,
        max_new_tokens=max_new_tokens,
        tile=tile,
        group=group,
        queue=max(4 * rows, samples_per_prompt),
        healing=tail_bytes > 0,
        spare_tokens=tail_bytes,
        dtype=dtype,
        weights_dtype=weights_dtype,
        kv_cache_dtype=kv_cache_dtype,
    )


def _check_dtypes(**dtypes: str) -> None:
    for name, dtype in dtypes.items():
        choices = ["float32", "bfloat16", *["int8"] * (name != "dtype")]
        if dtype not in choices:
            raise InputError(f"{name} is {dtype!r}; set {name} to one of {', '.join(choices)}")
